//! Medians, ranges, and Markdown tables.

use crate::usage::Memory;
use std::fmt;

/// What one run of one server gave.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub rate: f64,
    /// Microseconds of user time for each request.
    pub user: f64,
    /// Microseconds of user and system time for each request.
    pub cpu: f64,
    /// The same with the load's.
    pub both: f64,
    /// How much of the run the server had its core.
    pub busy: f64,
    /// Of a core, what neither it nor the load worked.
    pub disturbed: f64,
    pub errors: Vec<(String, u64)>,
    /// While the load ran, where that is asked for.
    pub memory: Option<Memory>,
}

/// The middle of some rounds, and between what they lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub middle: f64,
    pub least: f64,
    pub most: f64,
}

/// Of means of rounds, how far their ratio may be off: its standard error, by how much the rounds differ.
pub fn error_of_ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    let (mean, error) = mean_and_error(ours);
    let (other_mean, other_error) = mean_and_error(theirs);
    mean / other_mean * (error / mean).hypot(other_error / other_mean)
}

fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

impl Spread {
    /// Mean and range of at least one value: for what is sampled coarsely, where each round adds to
    /// the precision.
    fn mean_of(values: Vec<f64>) -> Self {
        let middle = values.iter().sum::<f64>() / values.len() as f64;
        Self {
            middle,
            ..Self::of(values)
        }
    }

    /// The least and the range of at least one value.
    pub fn least_of(values: Vec<f64>) -> Self {
        let spread = Self::of(values);
        Self {
            middle: spread.least,
            ..spread
        }
    }

    /// Median and range of ratios, round by round: neighbours in time met the same mood of the machine. At least
    /// one round of both.
    pub fn of_ratios(ours: &[f64], theirs: &[f64]) -> Self {
        Self::of(ours.iter().zip(theirs).map(|(a, b)| a / b).collect())
    }

    /// Median and range of at least one value.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        };
        Self {
            middle: median,
            least: values[0],
            most: values[values.len() - 1],
        }
    }

    /// The same in another unit.
    pub fn times(&self, factor: f64) -> Self {
        Self {
            middle: self.middle * factor,
            least: self.least * factor,
            most: self.most * factor,
        }
    }

    /// `middle (least–most)` with so many decimals.
    pub fn show(&self, decimals: usize) -> String {
        format!(
            "{:.decimals$} ({:.decimals$}–{:.decimals$})",
            self.middle, self.least, self.most
        )
    }
}

/// A server that had its core for less than this part of the run was not at its limit.
const SATURATED: f64 = 0.95;

/// The rounds of one server.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Round by round.
    pub rates: Vec<f64>,
    pub users: Vec<f64>,
    pub cpus: Vec<f64>,
    pub boths: Vec<f64>,
    pub rate: Spread,
    pub user: Spread,
    pub cpu: Spread,
    /// With the load's.
    pub both: Spread,
    pub busy: Spread,
    pub disturbed: Spread,
    /// By kind, summed over the rounds.
    pub errors: Vec<(String, u64)>,
    /// Kilobytes that are private and dirty, and all private ones.
    pub memory: Option<(Spread, Spread)>,
}

impl Summary {
    /// Of at least one sample.
    pub fn of(samples: &[Sample]) -> Self {
        let all = |value: fn(&Sample) -> f64| samples.iter().map(value).collect::<Vec<f64>>();
        let spread = |value| Spread::of(all(value));
        let mut errors: Vec<(String, u64)> = Vec::new();
        for (kind, number) in samples.iter().flat_map(|sample| &sample.errors) {
            match errors.iter_mut().find(|(known, _)| known == kind) {
                Some((_, sum)) => *sum += number,
                None => errors.push((kind.clone(), *number)),
            }
        }
        Self {
            rates: all(|sample| sample.rate),
            users: all(|sample| sample.user),
            cpus: all(|sample| sample.cpu),
            boths: all(|sample| sample.both),
            rate: spread(|sample| sample.rate),
            user: Spread::mean_of(all(|sample| sample.user)),
            cpu: spread(|sample| sample.cpu),
            both: spread(|sample| sample.both),
            busy: spread(|sample| sample.busy),
            disturbed: spread(|sample| sample.disturbed),
            errors,
            memory: samples
                .iter()
                .all(|sample| sample.memory.is_some())
                .then(|| {
                    let kilobytes = |part: fn(Memory) -> u64| {
                        let of = |sample: &Sample| part(sample.memory.unwrap_or_default());
                        let all = samples.iter().map(|sample| of(sample) as f64 / 1_024.0);
                        Spread::of(all.collect())
                    };
                    (
                        kilobytes(|memory| memory.dirty),
                        kilobytes(|memory| memory.private),
                    )
                }),
        }
    }

    /// Whether the load, or what else ran, was the limit: then the rate is not the server's.
    pub fn is_load_s(&self) -> bool {
        self.busy.middle < SATURATED
    }
}

/// `0`, or `7 (read 5, timeout 2)`.
pub fn errors_text(errors: &[(String, u64)]) -> String {
    let total: u64 = errors.iter().map(|(_, number)| number).sum();
    if total == 0 {
        return "0".into();
    }
    let kinds: Vec<String> = errors
        .iter()
        .map(|(kind, number)| format!("{kind} {number}"))
        .collect();
    format!("{total} ({})", kinds.join(", "))
}

/// A Markdown table.
pub struct Table {
    rows: Vec<String>,
}

impl Table {
    pub fn new(columns: &[&str]) -> Self {
        let header = format!("| {} |", columns.join(" | "));
        let rule = format!("|---|{}", "--:|".repeat(columns.len() - 1));
        Self {
            rows: vec![header, rule],
        }
    }

    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(format!("| {} |", cells.join(" | ")));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_or_between_the_two() {
        let odd = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.middle, odd.least, odd.most), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).middle, 2.5);
        assert_eq!(odd.show(1), "2.0 (1.0–3.0)");
        let ratios = Spread::of_ratios(&[2.0, 6.0, 3.0], &[1.0, 2.0, 3.0]);
        assert_eq!(ratios.show(0), "2 (1–3)");
        assert_eq!(Spread::mean_of(vec![1.0, 6.0, 2.0]).middle, 3.0);
    }

    #[test]
    fn error_of_a_ratio_is_by_how_the_rounds_differ() {
        // 2 and 1 on average; 2 differs by a quarter of itself, which two rounds make good by their root.
        let error = error_of_ratio(&[1.5, 2.5], &[1.0, 1.0]);
        assert!((error - 0.5).abs() < 1e-9, "{error}");
        assert_eq!(error_of_ratio(&[3.0, 3.0], &[1.0, 1.0]), 0.0);
    }

    #[test]
    fn errors_of_all_rounds_are_summed_by_kind() {
        let sample = |kind: &str, number| Sample {
            errors: vec![(kind.into(), number)],
            ..Sample::default()
        };
        let samples = [sample("read", 2), sample("timeout", 1), sample("read", 3)];
        let summary = Summary::of(&samples);
        assert_eq!(errors_text(&summary.errors), "6 (read 5, timeout 1)");
        assert_eq!(errors_text(&[]), "0");
    }
}
