"""`python -m whisperprobe` is the command `whisperprobe`."""

from whisperprobe.start import main

if __name__ == "__main__":
    main()
