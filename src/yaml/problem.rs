//! What is wrong with a configuration, for people.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub source: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong: key, value, limit.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// The same as a warning, for people.
    pub fn as_warning(&self) -> String {
        self.to_string().replacen("error:", "warning:", 1)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  --> {}:{}:{}", self.message, self.source, self.line, self.column)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, in order of place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// More problems than this are not collected: a file of another kind would give thousands.
const PROBLEMS_MAX: usize = 100;

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(problem);
        }
    }

    /// Adds those of another collection that stand on lines of which nothing has been said yet.
    pub fn add_from_other_lines(&mut self, other: Problems) {
        let said: Vec<(String, usize)> = self.0.iter().map(|p| (p.source.clone(), p.line)).collect();
        other
            .0
            .into_iter()
            .filter(|p| !said.contains(&(p.source.clone(), p.line)))
            .for_each(|p| self.push(p));
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by_key(|p| (&p.source, p.line, p.column));
        for problem in &sorted {
            writeln!(f, "{problem}")?;
        }
        write!(f, "{} problem(s)", sorted.len())
    }
}

impl std::error::Error for Problems {}
