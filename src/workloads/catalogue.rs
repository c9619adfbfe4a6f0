//! The list of workloads: for each habit that gilscope tells, a program that has it, and one alike that has not.

/// Workloads that belong together.
#[derive(Debug)]
pub struct Group {
    /// What they have in common.
    pub title: &'static str,
    /// They themselves.
    pub workloads: &'static [Workload],
}

/// A program with known habits.
#[derive(Debug)]
pub struct Workload {
    /// Its name, as it is typed.
    pub name: &'static str,
    /// What it shows, in a line.
    pub shows: &'static str,
    /// What figures to expect of it, in a line.
    pub expect: &'static str,
    /// Which finding it is there for.
    pub judged: Judged,
    /// The name of its file, as it stands in stacks.
    pub(super) file: &'static str,
    /// Its source.
    pub(super) source: &'static str,
    /// Its second argument: which of the things that its file can do.
    pub(super) variant: Option<&'static str>,
    /// Arguments behind these, and behind the extension's file.
    pub(super) more: &'static [&'static str],
    /// What it needs beside an interpreter.
    pub needs: &'static [Need],
    /// Whether it is one process.
    pub processes: Processes,
}

/// Whether a workload is one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processes {
    /// It is.
    One,
    /// It makes others, which belong to it.
    Several,
}

/// Which finding a workload is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It has what this finding tells of.
    Is(&'static str),
    /// It looks as if it had, and has not.
    IsNot(&'static str),
    /// No finding but `not-the-gil` is true of it.
    Harmless,
}

/// What a workload needs beside an interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// numpy.
    Numpy,
    /// `ctypes`.
    Ctypes,
    /// The C extension: a compiler and the interpreter's headers.
    Extension,
    /// Two cores at least.
    Cores,
    /// Versions of CPython, both included.
    Versions {
        /// The oldest, major and minor.
        from: (u8, u8),
        /// The newest.
        to: (u8, u8),
        /// The same in words.
        wanted: &'static str,
    },
}

/// A Python file: its name, and what is in it.
struct Source(&'static str, &'static str);

macro_rules! source {
    ($file:literal) => {
        Source($file, include_str!(concat!("../../assets/workloads/", $file)))
    };
}

const ALARMS: Source = source!("alarms.py");
const BLAME: Source = source!("blame.py");
const BLOCK: Source = source!("block.py");
const CONVOY: Source = source!("convoy.py");
const COUNT: Source = source!("count.py");
const HOG: Source = source!("hog.py");
const IDLE: Source = source!("idle.py");
const INTERPRETERS: Source = source!("interpreters.py");
const ONE_CORE: Source = source!("one_core.py");
const OTHER_WAITS: Source = source!("other_waits.py");
const POOL: Source = source!("pool.py");
const SATURATED: Source = source!("saturated.py");
const SINGLE: Source = source!("single.py");
const SLEEPER: Source = source!("sleeper.py");
const STARVED: Source = source!("starved.py");
const STORM: Source = source!("storm.py");

impl Workload {
    const fn of(name: &'static str, source: Source, shows: &'static str, expect: &'static str) -> Workload {
        let Source(file, source) = source;
        let judged = Judged::Harmless;
        Workload {
            name,
            shows,
            expect,
            judged,
            file,
            source,
            variant: None,
            more: &[],
            needs: &[],
            processes: Processes::One,
        }
    }

    const fn makes_others(mut self) -> Workload {
        self.processes = Processes::Several;
        self
    }

    /// Of those that its file can be, this one.
    const fn variant(mut self, variant: &'static str) -> Workload {
        self.variant = Some(variant);
        self
    }

    const fn needs(mut self, needs: &'static [Need]) -> Workload {
        self.needs = needs;
        self
    }

    /// Calls this function of the extension for so many seconds at a time.
    const fn blocks(mut self, function: &'static str, seconds: &'static [&'static str]) -> Workload {
        self.more = seconds;
        self.variant(function).needs(&[Need::Extension])
    }

    const fn has(mut self, finding: &'static str) -> Workload {
        self.judged = Judged::Is(finding);
        self
    }

    const fn looks_like(mut self, finding: &'static str) -> Workload {
        self.judged = Judged::IsNot(finding);
        self
    }
}

/// All workloads.
pub const GROUPS: &[Group] = &[
    Group { title: "I/O threads beside threads that compute", workloads: CONVOYS },
    Group { title: "The case study of the GIL literature: an I/O thread beside the same count", workloads: CASE_STUDY },
    Group { title: "C code that blocks with the GIL in hand", workloads: BLOCKS },
    Group { title: "Long holds, by known functions", workloads: HOLDS },
    Group { title: "Threads that trade the GIL", workloads: TRADES },
    Group { title: "Processes beside threads", workloads: PROCESSES },
    Group { title: "Cores, and who else wants them", workloads: CORES },
    Group { title: "Signals, interpreters, and waits for something else", workloads: OTHERS },
];

const CONVOYS: &[Workload] = &[
    Workload::of(
        "convoy",
        CONVOY,
        "An I/O thread in a convoy: beside one CPU-bound thread, each I/O call costs it a switch interval.",
        "contention 60 to 90 %, waits p50 5 ms",
    )
    .has("convoy"),
    Workload::of(
        "starved",
        STARVED,
        "An I/O thread starved by two: they trade the GIL with each other and seldom let it in.",
        "contention 100 %; the I/O thread waits tens of ms at a time",
    )
    .has("convoy"),
];

const CASE_STUDY: &[Workload] = &[
    Workload::of(
        "count-python",
        COUNT,
        "Counting in pure Python: the I/O thread, up every 10 ms, waits a switch interval each time.",
        "load 100 %, contention 30 %, waits p50 5 ms",
    )
    .variant("python")
    .has("convoy"),
    Workload::of(
        "count-rarely",
        COUNT,
        "The same with I/O once a second: it waits as long each time, and loses next to nothing.",
        "load 100 %, contention below 2 %",
    )
    .variant("rarely")
    .looks_like("convoy"),
    Workload::of(
        "count-numpy",
        COUNT,
        "Counting in numpy, which lets go of the GIL while it adds.",
        "load near 0 once numpy is imported, contention near 0; the counter's time is native",
    )
    .variant("numpy")
    .needs(&[Need::Numpy])
    .looks_like("never-releases"),
    Workload::of(
        "count-holding",
        COUNT,
        "Counting in a C extension that keeps the GIL: the I/O thread waits until a call returns, 2 s later.",
        "load 100 %, contention 99 %, waits up to 2 s, the counter on its core",
    )
    .variant("holding")
    .needs(&[Need::Extension])
    .has("never-releases"),
    Workload::of(
        "count-releasing",
        COUNT,
        "The same C extension between Py_BEGIN_ALLOW_THREADS and Py_END_ALLOW_THREADS: nobody waits.",
        "load and contention near 0; the counter's time is native",
    )
    .variant("releasing")
    .needs(&[Need::Extension])
    .looks_like("never-releases"),
];

const BLOCKS: &[Workload] = &[
    Workload::of(
        "sleeper",
        SLEEPER,
        "A C call that sleeps with the GIL in hand: no core is busy, and three threads cannot move.",
        "load 80 %, all of it asleep; three threads wait most of their time",
    )
    .needs(&[Need::Ctypes])
    .has("never-releases"),
    Workload::of(
        "block-asleep-1s",
        BLOCK,
        "Asleep with the GIL for 1 s at a time: a meter in the process gets one look each time, of a hundred.",
        "load 100 %, held asleep 100 %, waits 1 s",
    )
    .blocks("sleep_holding", &["1"])
    .has("never-releases"),
    Workload::of("block-asleep-4s", BLOCK, "The same for 4 s at a time.", "load 100 %, held asleep 100 %, waits 4 s")
        .blocks("sleep_holding", &["4"])
        .has("never-releases"),
    Workload::of(
        "block-asleep-15s",
        BLOCK,
        "The same for 15 s at a time.",
        "load 100 %, held asleep 100 %, a wait that does not end within 5 s",
    )
    .blocks("sleep_holding", &["15"])
    .has("never-releases"),
    Workload::of(
        "block-busy-1s",
        BLOCK,
        "Computing with the GIL for 1 s at a time.",
        "load 100 %, held asleep 0 %, waits 1 s",
    )
    .blocks("count_holding", &["1"])
    .has("never-releases"),
    Workload::of("block-busy-4s", BLOCK, "The same for 4 s at a time.", "load 100 %, held asleep 0 %, waits 4 s")
        .blocks("count_holding", &["4"])
        .has("never-releases"),
    Workload::of(
        "block-busy-15s",
        BLOCK,
        "The same for 15 s at a time.",
        "load 100 %, held asleep 0 %, a wait that does not end within 5 s",
    )
    .blocks("count_holding", &["15"])
    .has("never-releases"),
    Workload::of(
        "block-released",
        BLOCK,
        "Asleep for 1 s at a time, but without the GIL: the meter gets all its looks.",
        "load and contention near 0",
    )
    .blocks("sleep_releasing", &["1"])
    .looks_like("never-releases"),
];

const HOLDS: &[Workload] = &[
    Workload::of(
        "hog",
        HOG,
        "json.loads of a long text, some 100 ms at a time, beside two threads that serve requests.",
        "load 80 %, contention most of that, waits of 100 ms",
    )
    .variant("watched")
    .has("never-releases"),
    Workload::of("hog-alone", HOG, "The same, and nobody else wants the GIL.", "load 80 %, contention 0")
        .variant("alone")
        .looks_like("gil-hog"),
    Workload::of(
        "blame-five",
        BLAME,
        "Five functions that hold the GIL for 1, 5, 10, 20 and 50 ms, each for a known share of the waiting.",
        "hold_1ms 6.7 %, hold_5ms 13.3 %, hold_10ms 20.0 %, hold_20ms 26.7 %, hold_50ms 33.3 %",
    )
    .variant("five")
    .has("gil-hog"),
    Workload::of(
        "blame-halves",
        BLAME,
        "Two functions that hold it for 1 and for 50 ms, half of the waiting each.",
        "hold_1ms 50 %, hold_50ms 50 %",
    )
    .variant("halves")
    .has("gil-hog"),
    Workload::of("blame-alone", BLAME, "The same two, and nobody waits.", "load 95 %, contention 0; nobody to blame")
        .variant("alone")
        .looks_like("gil-hog"),
];

const TRADES: &[Workload] = &[
    Workload::of(
        "saturated",
        SATURATED,
        "Four CPU-bound threads that trade the GIL: four times the threads, the work of one.",
        "load 100 %, contention 100 %, demand 4, equal shares",
    )
    .has("saturated"),
    Workload::of(
        "trading",
        SATURATED,
        "Two CPU-bound threads that trade the GIL: each waits half of its time, and neither is in a convoy.",
        "load 100 %, contention 100 %, demand 2, equal shares",
    )
    .variant("2")
    .looks_like("convoy"),
    Workload::of(
        "single",
        SINGLE,
        "One busy thread alone: the GIL is always held, and nobody waits for it.",
        "load 100 %, contention 0",
    )
    .looks_like("saturated"),
    Workload::of(
        "storm",
        STORM,
        "Eight threads that let go of the GIL and want it back at once: the handoffs are the cost.",
        "thousands of handoffs a second, short waits",
    )
    .variant("many")
    .has("handoff-storm"),
    Workload::of(
        "storm-one",
        STORM,
        "One thread that lets go as often, and hands over to nobody.",
        "hardly a handoff, contention 0",
    )
    .variant("one")
    .looks_like("handoff-storm"),
];

const PROCESSES: &[Workload] = &[Workload::of(
    "pool",
    POOL,
    "A pool of two processes beside two threads that do the same: each process has its own GIL.",
    "contention near 100 % in the first process and 0 in the pool's; load 100 % in each",
)
.makes_others()
.has("saturated")];

const CORES: &[Workload] = &[
    Workload::of(
        "bounce",
        STORM,
        "Two threads that trade the GIL all the time, each on a core of its own.",
        "thousands of handoffs a second, each to the other core",
    )
    .variant("apart")
    .needs(&[Need::Cores])
    .has("cross-core-bounce"),
    Workload::of(
        "bounce-pinned",
        STORM,
        "The same two on one core.",
        "no handoff to another core, hardly any contention",
    )
    .variant("together")
    .looks_like("cross-core-bounce"),
    Workload::of(
        "preempted",
        ONE_CORE,
        "A program on one core that two strangers want too: its holder is kept off the core, GIL in hand.",
        "held off a core (preempted) 50 % and more; the I/O thread waits longer than a switch interval",
    )
    .variant("preempted")
    .has("holder-preempted"),
    Workload::of(
        "pinned",
        ONE_CORE,
        "The same program with the core to itself: a convoy as on two.",
        "held off a core near 0, waits p50 5 ms",
    )
    .variant("pinned")
    .looks_like("holder-preempted"),
    Workload::of(
        "run-queue",
        ONE_CORE,
        "One thread that shares its core with a stranger: it waits for the core, and never for the GIL.",
        "contention 0; the worker's time is queue",
    )
    .variant("run-queue")
    .has("not-the-gil"),
];

const OTHERS: &[Workload] = &[
    Workload::of(
        "alarms",
        ALARMS,
        "A signal four times a second beside twenty CPU-bound threads: its Python handler stands in line.",
        "interrupts p50 50 ms and more",
    )
    .variant("busy")
    .has("slow-interrupt"),
    Workload::of("alarms-calm", ALARMS, "The same signals, and nobody in the way.", "interrupts below 1 ms")
        .variant("calm")
        .looks_like("slow-interrupt"),
    Workload::of(
        "interpreters",
        INTERPRETERS,
        "Two interpreters with one GIL: a request does not reach the other one's thread, a fault of CPython.",
        "load 100 %, the I/O thread waits 200 ms at a time",
    )
    .variant("shared")
    .needs(&[Need::Versions { from: (3, 9), to: (3, 12), wanted: "3.9 to 3.12" }])
    .has("starved-interpreter"),
    Workload::of(
        "interpreters-own",
        INTERPRETERS,
        "Two interpreters with a GIL each: neither waits for the other.",
        "two GILs, the tenant's load 100 %, contention 0 in both",
    )
    .variant("own")
    .needs(&[Need::Versions { from: (3, 12), to: (3, u8::MAX), wanted: "3.12 and later" }])
    .looks_like("starved-interpreter"),
    Workload::of(
        "lock",
        OTHER_WAITS,
        "Four threads that wait for a lock of the program, whose holder does I/O.",
        "load and contention near 0, though three of four threads wait all the time",
    )
    .variant("lock")
    .has("not-the-gil"),
    Workload::of(
        "timed",
        OTHER_WAITS,
        "Four threads that wait 5 ms for what does not come: as long as a switch interval, and not for the GIL.",
        "load and contention near 0",
    )
    .variant("timed")
    .looks_like("convoy"),
    Workload::of(
        "parallel",
        OTHER_WAITS,
        "Four threads of checksums, for which Python lets go of the GIL: they use all cores.",
        "load and contention near 0; native and queue",
    )
    .variant("parallel")
    .looks_like("saturated"),
    Workload::of("idle", IDLE, "Nothing to do: four threads asleep, the GIL free.", "load and contention 0"),
];
