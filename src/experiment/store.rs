//! The directory of an experiment: its plan, what was done, and the recordings.
//!
//! `experiment.json` is the plan; `runs.jsonl` has a line for each run that is over. A line that was cut off is a run that was
//! not made. Each variant has a directory of recordings, to be compared and replayed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::experiment::child::Measured;
use crate::experiment::plan::{Plan, Trial};

const PLAN: &str = "experiment.json";
const RUNS: &str = "runs.jsonl";
/// Version of both files.
const VERSION: u32 = 1;
/// Most runs of all variants together.
const LARGEST: usize = 10_000;
/// Longest file of these that is read.
const LONGEST: u64 = 64 << 20;

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Which.
    pub trial: Trial,
    /// When it began, by the wall clock in nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// What it took; `None`: it was a period of a process that ran before and after.
    pub measured: Option<Measured>,
    /// Its recording, within the directory.
    pub recording: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Planned {
    version: u32,
    tool_version: String,
    plan: Plan,
}

/// The directory.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    plan: Plan,
    done: Vec<Done>,
    runs: File,
}

/// What is wrong with a directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is one already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// It is no experiment.
    #[error("{} is no directory of an experiment: {error}", path.display())]
    NotOne {
        /// Where.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// It cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Unwritten {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

impl Store {
    /// A new one.
    ///
    /// # Errors
    /// If it is there already, or cannot be written.
    pub fn create(root: &Path, plan: Plan) -> Result<Store, StoreError> {
        let unwritten = |error: io::Error| StoreError::Unwritten { path: root.to_owned(), error };
        match fs::create_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StoreError::Exists(root.to_owned()));
            }
            made => made.map_err(unwritten)?,
        }
        let planned = Planned { version: VERSION, tool_version: env!("CARGO_PKG_VERSION").to_owned(), plan };
        let text = serde_json::to_string_pretty(&planned).map_err(|error| unwritten(error.into()))?;
        fs::write(root.join(PLAN), text + "\n").map_err(unwritten)?;
        let plan = planned.plan;
        for variant in &plan.variants {
            fs::create_dir_all(root.join(variant.directory())).map_err(unwritten)?;
        }
        let runs = OpenOptions::new().create(true).append(true).open(root.join(RUNS)).map_err(unwritten)?;
        Ok(Store { root: root.to_owned(), plan, done: Vec::new(), runs })
    }

    /// One that is there, with all that was done.
    ///
    /// # Errors
    /// If it is none, or cannot be written.
    pub fn open(root: &Path) -> Result<Store, StoreError> {
        let not_one = |error: String| StoreError::NotOne { path: root.to_owned(), error };
        let read = |name: &str| {
            let path = root.join(name);
            let length = fs::metadata(&path).map_err(|error| not_one(format!("{name}: {error}")))?.len();
            if length > LONGEST {
                return Err(not_one(format!("{name} is too long")));
            }
            fs::read_to_string(&path).map_err(|error| not_one(format!("{name}: {error}")))
        };
        let planned: Planned =
            serde_json::from_str(&read(PLAN)?).map_err(|error| not_one(format!("{PLAN}: {error}")))?;
        if planned.version != VERSION {
            return Err(not_one(format!("it is of version {}, and this gilscope reads {VERSION}", planned.version)));
        }
        let plan = planned.plan;
        if plan.size() > LARGEST {
            return Err(not_one(format!("it has more runs than the {LARGEST} that an experiment may have")));
        }
        let text = read(RUNS)?;
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let mut done: Vec<Done> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        let trials = plan.trials();
        done.retain(|done| trials.contains(&done.trial));
        let mut runs = OpenOptions::new()
            .append(true)
            .open(root.join(RUNS))
            .map_err(|error| StoreError::Unwritten { path: root.to_owned(), error })?;
        if !text.is_empty() && !text.ends_with('\n') {
            // The next line is one of its own.
            runs.write_all(b"\n").map_err(|error| StoreError::Unwritten { path: root.to_owned(), error })?;
        }
        Ok(Store { root: root.to_owned(), plan, done, runs })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What was planned.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What was done.
    pub fn done(&self) -> &[Done] {
        &self.done
    }

    /// What is still to be done, in its order.
    pub fn left(&self) -> Vec<Trial> {
        let is_left = |trial: &Trial| !self.done.iter().any(|done| done.trial == *trial);
        self.plan.trials().into_iter().filter(is_left).collect()
    }

    /// Where the recording of a run is to be, within the directory.
    pub fn recording(&self, trial: Trial) -> String {
        let directory = self.plan.variants.get(trial.variant).map(|variant| variant.directory()).unwrap_or_default();
        format!("{directory}/run-{:03}.gscope", trial.run)
    }

    /// Notes that a run is over.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note(&mut self, done: Done) -> Result<(), StoreError> {
        let unwritten = |error: io::Error| StoreError::Unwritten { path: self.root.clone(), error };
        let line = serde_json::to_string(&done).map_err(|error| unwritten(error.into()))?;
        self.runs.write_all(format!("{line}\n").as_bytes()).map_err(unwritten)?;
        self.done.push(done);
        Ok(())
    }
}
