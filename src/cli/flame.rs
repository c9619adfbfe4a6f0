//! `gilscope flame`: observe, or read a recording, and draw where the time went.

use crate::cli::observe::observe_running;
use crate::cli::recorded;
use crate::cli::report::Destination;
use crate::cli::{FlameArgs, FlameFormat, OfArg};
use crate::error::{Failure, Status};
use crate::flame::{Flame, Of};
use crate::model::snapshot::Snapshot;

/// Runs the command.
///
/// # Errors
/// With an exit status and what to type next.
pub fn run(args: &FlameArgs) -> Result<u8, Failure> {
    // A path that cannot be written fails now, not after the observation.
    let output = match &args.output {
        Some(path) => Destination::create(path)?,
        None => Destination::Stdout,
    };
    if args.format == FlameFormat::Svg && output.is_terminal() {
        return Err(Failure::new(Status::Usage, "an SVG is nothing for a terminal")
            .next("name a file, and open it in a browser: -o flame.svg"));
    }
    match (&args.pid[..], &args.recording) {
        ([], Some(path)) => {
            let replayed = recorded::replay(path, &args.common)?;
            write(&replayed.model.snapshot(), args, output)?;
            replayed.failure.map_or(Ok(Status::Ok as u8), Err)
        }
        (pids @ [_, ..], _) => {
            let model = observe_running(pids, args.duration, &args.common)?;
            write(&model.snapshot(), args, output)?;
            Ok(Status::Ok as u8)
        }
        ([], None) => Err(Failure::new(Status::Usage, "nothing to draw was named")
            .next("type: gilscope flame FILE, or gilscope flame -p PID")),
    }
}

fn write(snapshot: &Snapshot, args: &FlameArgs, output: Destination) -> Result<(), Failure> {
    let (of, title, none) = match args.of {
        OfArg::Blame => (Of::Blame, "Waiting for the GIL, by what its holder executed", "nobody waited for the GIL"),
        OfArg::Waits => (Of::Waits, "Waiting for the GIL, by where it is wanted back", "nobody waited for the GIL"),
        OfArg::Holds => (Of::Holds, "Holding the GIL, by what its holder executed", "nobody held the GIL"),
    };
    let flame = Flame::of(snapshot, of);
    let nothing = flame.stacks().next().is_none();
    if nothing {
        args.common.say(&format!("{none}: there is nothing to draw"));
    }
    let text = match args.format {
        FlameFormat::Svg if nothing => String::new(),
        FlameFormat::Collapsed => flame.collapsed(),
        FlameFormat::Svg => {
            let mut svg = Vec::new();
            flame
                .svg(title, &mut svg)
                .map_err(|error| Failure::new(Status::Internal, format!("cannot draw the flame graph: {error}")))?;
            String::from_utf8_lossy(&svg).into_owned()
        }
    };
    output.write(&text)
}
