//! The table: rows, and what each says against its aim. Pure; it measures nothing.

use crate::machine::Machine;
use crate::stat::Spread;
use anyhow::Context;
use serde::Serialize;

/// What was run, where, and what came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What is measured.
    pub(crate) name: String,
    /// What came out.
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// What came out of a row.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// Numbers.
    Measured(Measured),
    /// None, and why: a part is missing here, or a step failed.
    NotMeasured(String),
}

/// Ours and its floor, from the same run.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) unit: Unit,
    pub(crate) ours: Spread,
    /// `None` for what has none: memory.
    pub(crate) floor: Option<Spread>,
    pub(crate) against: Against,
    /// The most that the median may be against the floor; `None`: told for its own sake.
    pub(crate) aim: Option<f64>,
}

impl Measured {
    /// Two series in milliseconds, for which there is no aim yet.
    ///
    /// # Errors
    /// If ours is empty.
    pub(crate) fn times(ours: Vec<f64>, floor: Vec<f64>, against: Against) -> anyhow::Result<Self> {
        Ok(Self {
            unit: Unit::Milliseconds,
            ours: Spread::of(ours).context("no samples")?,
            floor: Spread::of(floor),
            against,
            aim: None,
        })
    }
}

/// Of what the numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Thousands of 1024 bytes: KiB.
    #[serde(rename = "KiB")]
    Kibibytes,
}

/// How ours is held against the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Against {
    /// Ours divided by the floor.
    Ratio,
    /// Ours minus the floor.
    Difference,
    /// Ours as it is.
    Itself,
}

impl Row {
    /// A row of what was measured, or of why it was not.
    pub(crate) fn new(name: &str, measured: anyhow::Result<Measured>) -> Self {
        let outcome = match measured {
            Ok(measured) => Outcome::Measured(measured),
            Err(error) => Outcome::NotMeasured(format!("{error:#}")),
        };
        Self {
            name: name.to_owned(),
            outcome,
        }
    }
}

impl Measured {
    /// The same with an aim.
    pub(crate) fn aiming(self, aim: f64) -> Self {
        Self {
            aim: Some(aim),
            ..self
        }
    }

    /// The medians held against each other.
    pub(crate) fn middle(&self) -> Option<f64> {
        self.held(|spread| spread.p50)
    }

    /// The 99th percentiles held against each other.
    pub(crate) fn worst(&self) -> Option<f64> {
        self.held(|spread| spread.p99)
    }

    /// Whether the aim is met; `None` without one.
    pub(crate) fn is_met(&self) -> Option<bool> {
        Some(self.middle()? <= self.aim?)
    }

    fn held(&self, of: impl Fn(&Spread) -> f64) -> Option<f64> {
        let ours = of(&self.ours);
        match self.against {
            Against::Ratio => self.floor.as_ref().map(|floor| ours / of(floor)),
            Against::Difference => self.floor.as_ref().map(|floor| ours - of(floor)),
            Against::Itself => Some(ours),
        }
    }

    fn told(&self, value: f64) -> String {
        match self.against {
            Against::Ratio => format!("{value:.2}×"),
            Against::Difference => format!("{value:+.1} {}", self.unit.name()),
            Against::Itself => format!("{value:.1} {}", self.unit.name()),
        }
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Kibibytes => "KiB",
        }
    }
}

/// The heads of the columns.
pub(crate) const HEADER: [&str; 8] = [
    "row",
    "ours p50 / p99",
    "floor p50 / p99",
    "p50 against floor",
    "p99 against floor",
    "aim (p50)",
    "met",
    "samples",
];

impl Row {
    /// The cells, as [`HEADER`] names them.
    pub(crate) fn cells(&self) -> [String; 8] {
        let none = || "–".to_owned();
        let measured = match &self.outcome {
            Outcome::Measured(measured) => measured,
            Outcome::NotMeasured(why) => {
                let why = format!("not measured: {why}");
                let [a, b, c, d, e, f] = std::array::from_fn(|_| none());
                return [self.name.clone(), why, a, b, c, d, e, f];
            }
        };
        let unit = measured.unit.name();
        let both = |spread: &Spread| format!("{:.2} / {:.2} {unit}", spread.p50, spread.p99);
        let told = |value: Option<f64>| value.map_or_else(none, |value| measured.told(value));
        let met = measured.is_met();
        [
            self.name.clone(),
            both(&measured.ours),
            measured.floor.as_ref().map_or_else(none, both),
            told(measured.middle()),
            told(measured.worst()),
            told(measured.aim),
            met.map_or_else(none, |met| if met { "yes" } else { "no" }.to_owned()),
            measured.ours.samples.to_string(),
        ]
    }
}

impl Report {
    /// The table for the documentation, with the machine above it.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.machine.line());
        let mut line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        };
        line(&HEADER.map(String::from));
        line(&HEADER.map(|_| "---".to_owned()));
        for row in &self.rows {
            line(&row.cells());
        }
        text
    }

    /// The same for programs, with what was computed spelled out.
    pub(crate) fn json(&self) -> serde_json::Value {
        let rows = self.rows.iter().map(|row| {
            let mut value = serde_json::to_value(row).unwrap_or_default(); // numbers and text: cannot fail
            if let Outcome::Measured(measured) = &row.outcome {
                value["measured"]["p50AgainstFloor"] = measured.middle().into();
                value["measured"]["p99AgainstFloor"] = measured.worst().into();
                value["measured"]["met"] = measured.is_met().into();
            }
            value
        });
        serde_json::json!({ "machine": self.machine, "rows": rows.collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(p50: f64, p99: f64) -> Spread {
        Spread {
            p50,
            p99,
            samples: 10,
        }
    }

    fn measured(against: Against, aim: f64) -> Measured {
        Measured {
            unit: Unit::Milliseconds,
            ours: spread(30.0, 90.0),
            floor: Some(spread(10.0, 20.0)),
            against,
            aim: None,
        }
        .aiming(aim)
    }

    #[test]
    fn ratio_and_difference_are_of_the_medians_and_judged_by_the_aim() {
        let ratio = measured(Against::Ratio, 2.5);
        assert_eq!((ratio.middle(), ratio.worst()), (Some(3.0), Some(4.5)));
        assert_eq!(ratio.is_met(), Some(false));
        let difference = measured(Against::Difference, 20.0);
        assert_eq!(difference.middle(), Some(20.0));
        assert_eq!(difference.is_met(), Some(true));
    }

    #[test]
    fn what_has_no_floor_has_no_ratio() {
        let bare = Measured {
            floor: None,
            ..measured(Against::Ratio, 1.0)
        };
        assert_eq!((bare.middle(), bare.is_met()), (None, None));
    }

    #[test]
    fn what_was_not_measured_says_why_and_shows_no_number() {
        let row = Row::new("docker", Err(anyhow::anyhow!("no daemon")));
        let cells = row.cells();
        assert_eq!(cells[1], "not measured: no daemon");
        assert!(cells[2..].iter().all(|cell| cell == "–"), "{cells:?}");
    }
}
