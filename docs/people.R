# Listeners against people, response by response: what a measure adds when subjects and words are random effects.
#
#   Rscript people.R comparison base normal word_surprisal Duration log_FreqSUBTLEX
#
# The first argument is what `whisperprobe compare --human ... --out comparison` wrote; then model, condition and
# measure, as people/words.csv has them; the rest are the columns of the baseline. Needs lme4 and mgcv.

arguments <- commandArgs(trailingOnly = TRUE)
if (length(arguments) < 4) stop("give a folder, a model, a condition, a measure, and the baseline's columns")
folder    <- file.path(arguments[1], "people")
model     <- arguments[2]
condition <- arguments[3]
measure   <- arguments[4]
baseline  <- arguments[-(1:4)]

suppressPackageStartupMessages({
  library(lme4)
  library(mgcv)
})

# A word may be "NA" or "null": only empty cells are missing.
trials <- read.csv(file.path(folder, "trials.csv"), na.strings = "")
words  <- read.csv(file.path(folder, "words.csv"), na.strings = "")
cell   <- words[words$model == model & words$condition == condition, ]
needed <- c(measure, baseline)
if (nrow(cell) == 0) stop("no words of ", model, " hearing ", condition)
if (!all(needed %in% names(cell))) stop("no column ", paste(setdiff(needed, names(cell)), collapse = ", "))

# trials$response is what each person did (ln RT); the mean over people in words.csv is called response too.
data <- merge(trials[, setdiff(names(trials), needed)], cell[, c("word", needed)], by = "word")
for (name in needed) data[[name]] <- as.numeric(scale(data[[name]]))
data$subject <- factor(data$subject)
data$word    <- factor(data$word)
cat(nrow(data), "responses of", nlevels(data$subject), "people to", nlevels(data$word), "words\n\n")

# Mixed models. Likelihoods of models with different fixed effects can be compared under ML, not under REML.
fixed <- function(terms) reformulate(c(terms, "(1 | subject)", "(1 | word)"), response = "response")
base  <- lmer(fixed(if (length(baseline)) baseline else "1"), data, REML = FALSE)
full  <- lmer(fixed(needed), data, REML = FALSE)
print(summary(full)$coefficients)
print(anova(base, full))
cat("\nGain in AIC:", AIC(base) - AIC(full), "\n\n")

# Does the measure's effect differ between people? A slope for each.
# slopes <- update(full, reformulate(c(".", sprintf("(0 + %s | subject)", measure)), response = "."))

# The same with smooth terms: the effect need not be a straight line.
smooth <- c(sprintf("s(%s, k = 5)", needed), 's(subject, bs = "re")', 's(word, bs = "re")')
curved <- bam(reformulate(smooth, response = "response"), data = data, method = "fREML", discrete = TRUE)
print(summary(curved))
