//! `gilscope doctor`: what works here, and what to type for the rest.

use crate::cli::observe::{PATIENCE, failure};
use crate::cli::report::{Destination, color, width};
use crate::cli::{DoctorArgs, Format};
use crate::doctor::{Diagnosis, Facts, diagnose, examine, text, write_json};
use crate::error::{Failure, Status};

/// Runs the command. The exit status is the one that observing would have.
///
/// # Errors
/// With an exit status and what to type next.
pub fn run(args: &DoctorArgs) -> Result<u8, Failure> {
    let output = match &args.output {
        Some(path) => Destination::create(path)?,
        None => Destination::Stdout,
    };
    let facts = examine(args.pid.or(args.pid_option), PATIENCE);
    let diagnosis = diagnose(&facts);
    let rendered = match args.format {
        Format::Text => text(&diagnosis, width(), color(args.color, output.is_terminal())),
        Format::Json => {
            let mut bytes = Vec::new();
            write_json(&diagnosis, &mut bytes)
                .map_err(|error| Failure::new(Status::Internal, format!("cannot write JSON: {error}")))?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    output.write(&rendered)?;
    Ok(status(&facts, &diagnosis) as u8)
}

fn status(facts: &Facts, diagnosis: &Diagnosis) -> Status {
    match &facts.process {
        Some(process) => process.python.as_ref().err().map_or(Status::Ok, |error| failure(error).status),
        None if diagnosis.auto.is_none() => Status::NotPermitted,
        None => Status::Ok,
    }
}
