//! The command line: what can be typed, and what it does.

mod attach;
mod compare;
mod completions;
mod config;
mod demo;
mod doctor;
mod dump;
mod experiment;
mod feed;
mod flame;
mod gate;
mod interrupt;
mod live;
mod observe;
mod progress;
mod rate;
mod record;
mod recorded;
mod replay;
mod report;
mod settings;
mod still;
mod watch;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::affinity::CpuSet;
use crate::capture::Descendants;
use crate::cli::settings::{Asked, Settled, settle};
use crate::dashboard::theme::{Palette, Surroundings};
use crate::dashboard::views::View;
use crate::error::{Failure, Status};
use crate::event::{Pid, Signal};
use crate::experiment::CommandLine;
use crate::figures::Condition;
use crate::findings::{Allowed, Name};
use crate::time::Ns;

/// Shows what CPython's Global Interpreter Lock does to a running program: who holds it, who waits, for how long,
/// on which core. Attaches from outside, without root where the system allows it, without symbols or a restart,
/// and never stops the program.
#[derive(Debug, Parser)]
#[command(
    name = "gilscope",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    subcommand_required = false
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// A running process to show in the dashboard, as `gilscope attach PID` does; may be given several times
    #[arg(short, long, value_name = "PID", value_parser = parse_pid)]
    pub pid: Vec<Pid>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on_screen: OnScreen,
    #[command(flatten)]
    still: Still,
}

/// The command that only gilscope itself gives.
const GUARDIAN: &str = "guard-cores";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a running process in a live dashboard
    #[command(after_help = "\
EXAMPLES:
  gilscope attach 4242                 press ? in the dashboard for its keys
  gilscope attach 4242 -s              and all processes that it has made and will make
  gilscope attach 4242 4243            two of them
  gilscope attach 4242 -d 10 | cat     a line a second, and a report at the end

Without a terminal on stdout, a line a second and a report at the end are printed.")]
    Attach(AttachArgs),
    /// Show a recording in the dashboard, as if it happened now
    #[command(after_help = "\
EXAMPLES:
  gilscope replay gilscope-4242-20261121T114503Z.gscope

Space stops and goes on, [ ] step, { } jump ten seconds, < > change the speed, ? shows all keys.
Without a terminal on stdout, the report of the whole recording is printed.")]
    Replay(ReplayArgs),
    /// Observe a process, start a program and observe it, or read a recording; then say what its GIL did to it
    #[command(after_help = "\
EXAMPLES:
  gilscope report -p 4242 -d 10            ten seconds of a running process
  gilscope report -- python3 app.py -v     a program from its first line to its end
  gilscope report -p 4242 -d 60 -f json -o report.json
  gilscope report -p 4242 -s               a process and all that descend from it: one section each
  gilscope report -s -- python3 pool.py    a program and all the processes that it makes
  gilscope report run.gscope               what was recorded

The program started after `--` keeps its stdin, stdout, stderr and signals, and its exit status is passed on: 128 + n \
if signal n killed it, 127 if there is no such program, 126 if it cannot be executed. So that the report does not mix \
with what it prints, the report goes to stderr, or to the FILE of -o.")]
    Report(ReportArgs),
    /// Record a process, or start a program and record it, to be looked at as often as one likes
    #[command(after_help = "\
EXAMPLES:
  gilscope record -p 4242                  until Ctrl-C, the target's end or -d
  gilscope record -p 4242 -d 60 -o run.gscope
  gilscope record -- python3 app.py -v     a program from its first line to its end
  gilscope record -p 4242 -s               with all processes that descend from it, in one file
  gilscope report run.gscope               what was in it

The file is whole at any time: should gilscope be killed, at most the last second is missing. The program
started after `--` keeps its stdin, stdout, stderr and signals, and its exit status is passed on.")]
    Record(RecordArgs),
    /// Draw where the time went, of a process or a recording: which code made others wait for the GIL, or held it
    #[command(after_help = "\
EXAMPLES:
  gilscope flame run.gscope -o flame.svg             who made whom wait: open it in a browser
  gilscope flame -p 4242 -d 30 -o flame.svg          thirty seconds of a running process
  gilscope flame -p 4242 --of waits -o flame.svg     where the waiters want the GIL back
  gilscope flame -p 4242 --of holds -o flame.svg     what the GIL was held for
  gilscope flame run.gscope -f collapsed             one line a stack, in nanoseconds, for other tools

The widths add up: what was not sampled is (unsampled), and where a waiter had no core, (scheduler) is to blame.")]
    Flame(FlameArgs),
    /// Say what differs between two recordings, or between two directories of them: which figures, by how much, how surely
    #[command(after_help = "\
EXAMPLES:
  gilscope compare before.gscope after.gscope        what differs, without any confidence
  gilscope compare before/ after/                    several runs a side: with confidence
  gilscope compare before/ after/ --fail-if 'waits.p99 > 20ms' --fail-if 'lost +10%'

What is said is of B as against A. A directory stands for the recordings in it, each one run: record at least four of each \
side, by turns (A B A B), or have `gilscope experiment` do it. A condition with a value is of B, by the median of its runs; one \
in per cent is of the change. If one is met, or cannot be decided since its figure is not known, the exit status is 7.")]
    Compare(CompareArgs),
    /// Run a program in several variants, by turns, and say what differs: pinned or not, at other switch intervals, as threads or
    /// as processes
    #[command(after_help = "\
EXAMPLES:
  gilscope experiment --cpus 0,1 --cpus 0 -- python3 app.py             does pinning help or hurt?
  gilscope experiment --switch-interval 5ms --switch-interval 0.5ms -n 8 -- python3 app.py
  gilscope experiment --variant threads='python3 t.py' --variant procs='python3 p.py'
  gilscope experiment --resume gilscope-experiment-20261121T114503Z     go on after Ctrl-C
  gilscope experiment -p 4242 --cpus 0 --period 10s -n 6                a running process, by turns
  gilscope experiment --list                                            the questions that are argued about most

All combinations are run, in rounds with every variant once and in an order drawn anew each time, so that what changes \
meanwhile hits all alike. The first variant is what the others are compared with. Recordings are kept, for `gilscope compare` \
and `gilscope replay`. With -p the cores of all threads are changed, and put back whatever happens.")]
    Experiment(Box<ExperimentArgs>),
    /// Put back the cores of a process; for gilscope itself
    #[command(name = GUARDIAN, hide = true)]
    GuardCores,
    /// Write out all that is in a recording, line by line, as JSON
    Dump(DumpArgs),
    /// Say what works here and for a process, what each missing piece costs, and what to type to get it
    #[command(after_help = "\
EXAMPLES:
  gilscope doctor                          this machine, and what gilscope may do here
  gilscope doctor 4242                     the same, and a process
  gilscope doctor 4242 -f json             for programs: the schema is assets/schema/doctor.v1.json

Everything is tried, nothing is changed. The exit status is the one that observing the process would have.")]
    Doctor(DoctorArgs),
    /// Send a process a signal at random times, and say how long its Python handler takes to begin
    #[command(after_help = "\
EXAMPLES:
  gilscope interrupt 4242 --signal SIGUSR1         twenty times, about half a second apart
  gilscope interrupt 4242 -n 100 --every 2s        SIGINT, if the program has a handler of its own for it
  gilscope interrupt 4242 --signal USR1 -o usr1.gscope      and keep it, for gilscope replay usr1.gscope

This is the only command that sends anything to a process. It sends what the process handles in Python, and nothing that \
would end or stop it. By default SIGINT raises KeyboardInterrupt, which ends a program that does not catch it: that is \
sent with --yes only.")]
    Interrupt(InterruptArgs),
    /// Run a built-in workload and show what gilscope sees in it
    #[command(after_help = demo::listing())]
    Demo(DemoArgs),
    /// Print the default configuration, with what each line of it means
    #[command(after_help = "\
EXAMPLES:
  gilscope config                          what can be said, and is so if nothing is
  gilscope config --path                   where your own is looked for
  gilscope config > \"$(gilscope config --path)\"      to begin with; its directory must be there")]
    Config(ConfigArgs),
    /// Print what makes a shell complete gilscope's commands and options
    #[command(after_help = "\
EXAMPLES:
  gilscope completions bash > ~/.local/share/bash-completion/completions/gilscope
  gilscope completions zsh > ~/.zfunc/_gilscope        where fpath has ~/.zfunc
  gilscope completions fish > ~/.config/fish/completions/gilscope.fish")]
    Completions(CompletionsArgs),
    /// Print the manual page: of all, or of one command
    #[command(after_help = "\
EXAMPLES:
  gilscope man | man -l -
  gilscope man record | man -l -")]
    Man(ManArgs),
}

/// `gilscope config`
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Say where the configuration is looked for
    #[arg(long)]
    pub path: bool,
}

/// `gilscope completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `gilscope man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The command that it is of [default: gilscope as a whole]
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// `gilscope attach`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("process").required(true).args(["pid", "pid_option"]))]
pub struct AttachArgs {
    /// The process to show, or several
    #[arg(value_name = "PID", value_parser = parse_pid)]
    pub pid: Vec<Pid>,
    /// The same, as other commands take it
    #[arg(short, long = "pid", value_name = "PID", value_parser = parse_pid)]
    pub pid_option: Vec<Pid>,
    /// End the capture after so many seconds of the wall clock
    #[arg(short, long, value_name = "SECS", value_parser = rate::parse_duration)]
    pub duration: Option<Ns>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on_screen: OnScreen,
    #[command(flatten)]
    still: Still,
}

/// `gilscope replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on_screen: OnScreen,
    #[command(flatten)]
    still: Still,
    /// With --once or --snapshot: so many seconds after the recording's beginning [default: at its end]
    #[arg(long, value_name = "SECS", value_parser = rate::parse_duration, requires = "still")]
    pub at: Option<Ns>,
}

/// `gilscope report`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["pid", "program", "recording"]))]
pub struct ReportArgs {
    /// The recording to report on
    #[arg(value_name = "FILE", conflicts_with_all = ["duration", "rate", "mode", "tracepoints", "native", "stacks", "subprocesses"])]
    pub recording: Option<PathBuf>,
    /// The process to observe; may be given several times
    #[arg(short, long, value_name = "PID", value_parser = parse_pid)]
    pub pid: Vec<Pid>,
    /// How long, in seconds of the wall clock [default: 10 with -p, to the program's end with --]
    #[arg(short, long, value_name = "SECS", value_parser = rate::parse_duration)]
    pub duration: Option<Ns>,
    /// The report's format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    #[command(flatten)]
    gate: Gate,
    #[command(flatten)]
    common: Common,
    /// Where to write the report [default: stdout with -p, stderr with --]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The program to start and observe, with its arguments
    #[arg(last = true, value_name = "CMD", num_args = 1..)]
    pub program: Vec<OsString>,
}

/// `gilscope compare`
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A recording, or a directory of them: what is compared with
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// The same: what is compared
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// The output's format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    #[command(flatten)]
    gate: Gate,
    /// Where to write it [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Colour in text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    /// Say nothing on stderr but errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// `gilscope experiment`
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("tried").required(true).args(["pid", "program", "variant", "resume", "builtin", "list"]).multiple(true))]
pub struct ExperimentArgs {
    /// Cores to run on, such as 0 or 0-3,8; several make variants
    #[arg(long, value_name = "LIST", value_parser = CpuSet::parse)]
    pub cpus: Vec<CpuSet>,
    /// A switch interval to run with, such as 0.5ms; several make variants
    #[arg(long, value_name = "TIME", value_parser = rate::parse_interval)]
    pub switch_interval: Vec<Ns>,
    /// Another way to run it, with a name, such as threads='python3 t.py'; several make variants
    #[arg(long, value_name = "NAME=CMD", value_parser = parse_variant, conflicts_with_all = ["pid", "resume"])]
    pub variant: Vec<CommandLine>,
    /// Observed runs of each variant, or periods [default: 8]
    #[arg(short = 'n', long, value_name = "RUNS")]
    pub runs: Option<usize>,
    /// Runs of each before them, which are dropped
    #[arg(long, value_name = "RUNS", default_value = "1")]
    pub warm_up: usize,
    /// Runs of each that nobody observes: for what a run takes, and what observing costs [default: as many as are observed]
    #[arg(long, value_name = "RUNS")]
    pub bare: Option<usize>,
    /// What the order is drawn from [default: drawn itself, and said]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// A running process, whose threads are put on other cores by turns
    #[arg(short, long, value_name = "PID", value_parser = parse_pid, conflicts_with_all = ["program", "resume"])]
    pub pid: Option<Pid>,
    /// With -p: how long each period is observed [default: 10s]
    #[arg(long, value_name = "SECS", value_parser = rate::parse_duration, requires = "pid")]
    pub period: Option<Ns>,
    /// With -p: do not ask
    #[arg(long, requires = "pid")]
    pub yes: bool,
    /// Go on with what was begun in this directory
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["cpus", "switch_interval", "runs", "bare", "seed", "output", "program"])]
    pub resume: Option<PathBuf>,
    /// Say which questions have an experiment that comes with gilscope
    #[arg(long, exclusive = true)]
    pub list: bool,
    /// Make one of these
    #[arg(long, value_name = "NAME", value_parser = experiment::builtins(), hide_possible_values = true,
          conflicts_with_all = ["pid", "resume", "program", "variant", "cpus", "switch_interval"])]
    pub builtin: Option<String>,
    /// With --builtin: the interpreter to run it with
    #[arg(long, value_name = "PYTHON", default_value = "python3")]
    pub python: OsString,
    /// The output's format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    #[command(flatten)]
    common: Common,
    /// The directory to keep it in [default: gilscope-experiment-TIME, here]
    #[arg(short, long, value_name = "DIRECTORY")]
    pub output: Option<PathBuf>,
    /// Where to write what came of it [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
    /// The program to run, with its arguments
    #[arg(last = true, value_name = "CMD", num_args = 1..)]
    pub program: Vec<OsString>,
}

/// Conditions on figures.
#[derive(Debug, Args)]
pub struct Gate {
    /// End with exit status 7 if this is so, such as 'waits.p99 > 20ms', or, to compare, 'lost +10%'; may be given several
    /// times
    #[arg(long, value_name = "EXPR", value_parser = parse_condition)]
    pub fail_if: Vec<Condition>,
}

/// `gilscope record`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("recorded").required(true).args(["pid", "program"]))]
pub struct RecordArgs {
    /// The process to record; may be given several times
    #[arg(short, long, value_name = "PID", value_parser = parse_pid)]
    pub pid: Vec<Pid>,
    /// How long, in seconds of the wall clock [default: until Ctrl-C, or to the target's end]
    #[arg(short, long, value_name = "SECS", value_parser = rate::parse_duration)]
    pub duration: Option<Ns>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on_screen: OnScreen,
    /// Where to write the recording [default: gilscope-PID-TIME.gscope, here]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Show the process in the dashboard while it is recorded
    #[arg(long, conflicts_with = "program")]
    pub live: bool,
    /// Replace FILE if it is a recording already
    #[arg(long, requires = "output")]
    pub force: bool,
    /// The program to start and record, with its arguments
    #[arg(last = true, value_name = "CMD", num_args = 1..)]
    pub program: Vec<OsString>,
}

/// `gilscope flame`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("drawn").required(true).args(["pid", "recording"]))]
pub struct FlameArgs {
    /// The recording to draw
    #[arg(value_name = "FILE", conflicts_with_all = ["duration", "rate", "mode", "tracepoints", "native", "stacks", "subprocesses"])]
    pub recording: Option<PathBuf>,
    /// The process to observe; may be given several times
    #[arg(short, long, value_name = "PID", value_parser = parse_pid)]
    pub pid: Vec<Pid>,
    /// How long, in seconds of the wall clock [default: 10]
    #[arg(short, long, value_name = "SECS", value_parser = rate::parse_duration)]
    pub duration: Option<Ns>,
    /// Which times to draw
    #[arg(long, value_name = "WHAT", default_value = "blame")]
    pub of: OfArg,
    /// The format
    #[arg(short, long, value_name = "FORMAT", default_value = "svg")]
    pub format: FlameFormat,
    #[command(flatten)]
    common: Common,
    /// Where to write it [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Which times a flame graph shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OfArg {
    /// The time that others waited, by what the holder executed
    Blame,
    /// The time that threads waited, by where they want the GIL back
    Waits,
    /// The time that the GIL was held, by what the holder executed: sampled while somebody waited
    Holds,
}

/// A flame graph's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FlameFormat {
    /// To look at in a browser
    Svg,
    /// One line a stack: frames with `;` between them, a blank, nanoseconds
    Collapsed,
}

/// `gilscope dump`
#[derive(Debug, Args)]
pub struct DumpArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub recording: PathBuf,
}

/// `gilscope doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The process to try it on
    #[arg(value_name = "PID", value_parser = parse_pid, conflicts_with = "pid_option")]
    pub pid: Option<Pid>,
    /// The same, as other commands take it
    #[arg(short, long = "pid", value_name = "PID", value_parser = parse_pid)]
    pub pid_option: Option<Pid>,
    /// The output's format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Where to write it [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Colour in text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: When,
}

/// `gilscope interrupt`
#[derive(Debug, Args)]
pub struct InterruptArgs {
    /// The process to send to
    #[arg(value_name = "PID", value_parser = parse_pid)]
    pub pid: Pid,
    /// How often
    #[arg(short = 'n', long, value_name = "COUNT", default_value = "20")]
    pub count: u32,
    /// Which signal, by name or number
    #[arg(long, value_name = "SIGNAL", default_value = "SIGINT", value_parser = parse_signal)]
    pub signal: Signal,
    /// The time between two, at random and about this long; never less than three times what one has taken
    #[arg(long, value_name = "SECS", default_value = "500ms", value_parser = rate::parse_duration)]
    pub every: Ns,
    /// How long one may stay unhandled before no other is sent
    #[arg(long, value_name = "SECS", default_value = "30s", value_parser = rate::parse_duration)]
    pub patience: Ns,
    /// Send it also where it raises KeyboardInterrupt, which may end the program
    #[arg(long)]
    pub yes: bool,
    /// The report's format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    #[command(flatten)]
    common: Common,
    /// Keep a recording of it; the report goes to stdout [default: none is kept]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace FILE if it is a recording already
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// `gilscope demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Which workload
    #[arg(value_name = "NAME", default_value = demo::DEFAULT, value_parser = demo::names(), hide_possible_values = true)]
    pub name: String,
    /// Say what each workload shows, what to expect of it, and which cannot run here, and why
    #[arg(long, conflicts_with_all = ["name", "duration", "format"])]
    pub list: bool,
    /// How long, in seconds of the wall clock [default: until you quit the dashboard; 5 for a report]
    #[arg(short, long, value_name = "SECS", value_parser = rate::parse_duration)]
    pub duration: Option<Ns>,
    /// The interpreter to run it with
    #[arg(long, value_name = "PYTHON", default_value = "python3")]
    pub python: OsString,
    /// Print a report in this format, also on a terminal
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<Format>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on_screen: OnScreen,
    #[command(flatten)]
    still: Still,
}

/// What all observing commands share.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Looks a second, such as 1000 or 10k; fewer, and said so, where they would cost too much [default: what the
    /// configuration says, else 500 to 4000 while the switches of all threads are told, 1000 otherwise]
    #[arg(short, long, value_name = "HZ", value_parser = rate::parse_rate)]
    pub rate: Option<Ns>,
    /// What observing may cost the program, in per cent of its time [default: 2, or what the configuration says]
    #[arg(long, value_name = "PCT", value_parser = rate::parse_overhead)]
    pub max_overhead: Option<f64>,
    /// The precision to observe with
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub mode: ModeArg,
    /// Have the kernel name the sleeps of threads that wait for the GIL, beside switch records: surer waits where threads
    /// contend. Needs root or CAP_PERFMON, and tracefs; makes every system call of the machine 50 ns longer meanwhile
    #[arg(long, value_name = "WHEN", default_value = "never")]
    pub tracepoints: TracepointsArg,
    /// Find out which native code holds the GIL during long holds, by name: of a holder that runs by a few samples of its
    /// stack, within --max-overhead
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub native: NativeArg,
    /// Look at what the holder of the GIL executes, now and then while somebody waits for it
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub stacks: StacksArg,
    /// Look also into the processes that it has made and will make, and into theirs: each has a GIL of its own
    #[arg(short, long)]
    pub subprocesses: bool,
    /// Leave out a finding, such as not-the-gil; may be given several times
    #[arg(long, value_name = "FINDING", value_parser = parse_finding)]
    pub allow: Vec<Name>,
    /// Colour [default: auto, or what the configuration says]
    #[arg(long, value_name = "WHEN")]
    pub color: Option<When>,
    /// The configuration to use in place of your own; gilscope config says what can stand in it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say nothing on stderr but errors and what was asked for
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more on stderr
    #[arg(short, long)]
    pub verbose: bool,
    /// What command line, configuration and environment come to.
    #[arg(skip)]
    settled: Settled,
}

/// What only the dashboard takes.
#[derive(Debug, Args)]
pub struct OnScreen {
    /// Leave the mouse to the terminal: it then selects text in the dashboard without Shift
    #[arg(long)]
    pub no_mouse: bool,
    /// The dashboard's colours: default, okabe-ito or mono
    #[arg(long, value_name = "NAME", value_parser = parse_palette)]
    pub palette: Option<Palette>,
    /// Draw the dashboard with ASCII alone [default: as the locale says]
    #[arg(long)]
    pub ascii: bool,
}

/// One screen in place of the dashboard.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("still").args(["once", "snapshot"]).multiple(true))]
pub struct Still {
    /// Print one screen as text, and end: after -d (5 s unless given), or at the recording's end
    #[arg(long)]
    pub once: bool,
    /// Write one screen as a picture, and end
    #[arg(long, value_name = "FILE.svg")]
    pub snapshot: Option<PathBuf>,
    /// What it shows: overview, cores, timeline, histograms, convoys, interrupts, blame or findings
    #[arg(long, value_name = "VIEW", default_value = "overview", value_parser = parse_view, requires = "still")]
    pub view: View,
    /// How large it is, in columns and lines
    #[arg(long, value_name = "WxH", default_value = "120x36", value_parser = parse_size, requires = "still")]
    pub size: (u16, u16),
}

impl Still {
    /// Whether one screen is wanted.
    fn is_wanted(&self) -> bool {
        self.once || self.snapshot.is_some()
    }
}

/// A report's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs: the schemas are in `assets/schema`
    Json,
}

/// The precision that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// The best that this version and this machine can do
    Auto,
    /// Memory and /proc at intervals: durations to the interval, no cost to the target's threads
    Sampled,
    /// Beside that the kernel's switch records: waits to the microsecond
    Fused,
    /// Beside that watchpoints on the GIL, in windows: every take and drop, also uncontended ones; may change
    /// contention, and says so
    Exact,
}

/// When to use tracepoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TracepointsArg {
    /// Never
    Never,
    /// Always, or not at all
    Always,
}

/// When to look which native code holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NativeArg {
    /// Where it costs nothing, and within the budget: sampled mode has none, and names holders that sleep only
    Auto,
    /// Never
    Never,
    /// Also in sampled mode, or not at all
    Always,
}

/// When to look at stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StacksArg {
    /// Where the interpreter's frames can be read
    Auto,
    /// Never
    Never,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

fn parse_pid(text: &str) -> Result<Pid, String> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    match number {
        Ok(pid) if pid > 0 && i32::try_from(pid).is_ok() => Ok(Pid(pid)),
        _ => Err(format!("`{text}` is not a process id")),
    }
}

fn parse_view(text: &str) -> Result<View, String> {
    View::ALL
        .into_iter()
        .find(|view| view.name() == text.to_lowercase())
        .ok_or_else(|| format!("`{text}` is not a view: there are {}", View::ALL.map(View::name).join(", ")))
}

fn parse_palette(text: &str) -> Result<Palette, String> {
    let names = Palette::ALL.map(Palette::name).join(", ");
    let found = Palette::ALL.into_iter().find(|palette| palette.name() == text);
    found.ok_or_else(|| format!("`{text}` is not a palette: there are {names}"))
}

/// The largest screen: beyond it a picture is of no use, and takes much memory.
const MOST_CELLS: u32 = 250_000;

fn parse_size(text: &str) -> Result<(u16, u16), String> {
    let size = text.split_once(['x', 'X']).and_then(|(w, h)| Some((w.parse::<u16>().ok()?, h.parse::<u16>().ok()?)));
    size.filter(|(w, h)| (1..=MOST_CELLS).contains(&(u32::from(*w) * u32::from(*h))))
        .ok_or_else(|| format!("`{text}` is not a size such as 120x36, of at most {MOST_CELLS} cells"))
}

fn parse_signal(text: &str) -> Result<Signal, String> {
    Signal::named(text).ok_or_else(|| format!("`{text}` is not a signal: type SIGUSR1, usr1 or 10"))
}

fn parse_variant(text: &str) -> Result<CommandLine, String> {
    crate::experiment::words(text).map_err(|error| error.to_string())
}

fn parse_condition(text: &str) -> Result<Condition, String> {
    Condition::parse(text).map_err(|error| error.to_string())
}

fn parse_finding(text: &str) -> Result<Name, String> {
    Name::named(text).ok_or_else(|| {
        let names: Vec<&str> = Name::ALL.into_iter().map(Name::id).collect();
        format!("`{text}` is not a finding: there are {}", names.join(", "))
    })
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _closed = error.print();
            return ExitCode::from(if error.use_stderr() { Status::Usage as u8 } else { Status::Ok as u8 });
        }
    };
    let outcome = configured(cli).and_then(perform);
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.status as u8)
        }
    }
}

/// With what the configuration and the environment say.
fn configured(mut cli: Cli) -> Result<Cli, Failure> {
    let (common, on_screen) = match &mut cli.command {
        None => (&mut cli.common, Some(&cli.on_screen)),
        Some(Command::Attach(args)) => (&mut args.common, Some(&args.on_screen)),
        Some(Command::Replay(args)) => (&mut args.common, Some(&args.on_screen)),
        Some(Command::Record(args)) => (&mut args.common, Some(&args.on_screen)),
        Some(Command::Demo(args)) => (&mut args.common, Some(&args.on_screen)),
        Some(Command::Report(args)) => (&mut args.common, None),
        Some(Command::Flame(args)) => (&mut args.common, None),
        Some(Command::Interrupt(args)) => (&mut args.common, None),
        Some(Command::Experiment(args)) => (&mut args.common, None),
        Some(
            Command::Compare(_)
            | Command::GuardCores
            | Command::Dump(_)
            | Command::Doctor(_)
            | Command::Config(_)
            | Command::Completions(_)
            | Command::Man(_),
        ) => return Ok(cli),
    };
    let config = config::load(common.config.as_deref())?;
    let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    common.settled = settle(&Asked::of(common, on_screen), &Surroundings::read(variable), &config);
    Ok(cli)
}

fn perform(cli: Cli) -> Result<u8, Failure> {
    match (cli.command, &cli.pid[..]) {
        (Some(Command::Attach(args)), _) => attach::run(&args),
        (Some(Command::Replay(args)), _) => replay::run(&args),
        (Some(Command::Report(args)), _) => report::run(&args),
        (Some(Command::Record(args)), _) => record::run(&args),
        (Some(Command::Flame(args)), _) => flame::run(&args),
        (Some(Command::Compare(args)), _) => compare::run(&args),
        (Some(Command::Experiment(args)), _) => experiment::run(&args),
        (Some(Command::GuardCores), _) => live::guardian(),
        (Some(Command::Dump(args)), _) => dump::run(&args),
        (Some(Command::Doctor(args)), _) => doctor::run(&args),
        (Some(Command::Interrupt(args)), _) => interrupt::run(&args),
        (Some(Command::Demo(args)), _) => demo::run(args),
        (Some(Command::Config(args)), _) => config::run(&args),
        (Some(Command::Completions(args)), _) => completions::run(&args),
        (Some(Command::Man(args)), _) => completions::man(&args),
        (None, pids @ [_, ..]) => attach::attached(pids, None, &cli.common, &cli.still),
        (None, []) => Err(Failure::new(Status::Usage, "nothing to do was named")
            .next("Type: gilscope attach PID, or gilscope --help")),
    }
}

/// Says what went wrong, however quiet it was asked to be.
fn complain(failure: &Failure) {
    let _closed = writeln!(std::io::stderr(), "gilscope: {failure}");
}

/// Writes to stdout; a reader that has gone away is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Status::Internal, format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

impl Common {
    /// Findings that are left out.
    fn allowed(&self) -> Allowed {
        self.allow.iter().copied().collect()
    }

    /// The same with nothing to say but errors.
    fn quietly(&self) -> Common {
        Common { quiet: true, verbose: false, ..self.clone() }
    }

    /// Whether the processes that a target makes are looked into.
    fn descendants(&self) -> Descendants {
        if self.subprocesses { Descendants::Followed } else { Descendants::Left }
    }

    /// Talk: on stderr, unless it was asked to be quiet.
    fn say(&self, text: &str) {
        if !self.quiet {
            let _closed = writeln!(std::io::stderr(), "gilscope: {text}");
        }
    }

    /// More talk, where it was asked for.
    fn say_more(&self, text: &str) {
        if self.verbose {
            self.say(text);
        }
    }
}
