//! CPython's GIL in virtual time, after `take_gil` and `drop_gil` of `Python/ceval_gil.c`.
//!
//! A [`World`] plays [`Script`]s of threads and yields the exact [`Truth`]: every hold, wait and handoff, and the
//! state of every thread at every instant. `sampling` looks at that truth as the sampler does at a process.

use gilscope::time::Ns;

/// What a thread does next. Holding steps follow each other without a release; whatever does not hold releases first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Bytecode: holds the GIL, and drops it when asked to.
    Bytecode(Ns),
    /// A C function that keeps the GIL, on a core: deaf to requests.
    HoldInC(Ns),
    /// A C function that keeps the GIL, asleep.
    HoldAsleep(Ns),
    /// Holds the GIL, queued for a core.
    HoldQueued(Ns),
    /// On a core without the GIL.
    Native(Ns),
    /// Asleep without the GIL.
    Sleep(Ns),
    /// Queued for a core, without the GIL.
    Queued(Ns),
}

/// The life of one thread: its steps, over and over.
#[derive(Debug, Clone)]
pub struct Script {
    pub steps: Vec<Step>,
    /// Every length is drawn evenly from this much around what the step says, 0..1.
    pub spread: f64,
    pub born: u64,
    /// It ends where its first step after this instant would begin.
    pub ends: u64,
    pub state: ThreadState,
}

/// Whether a thread keeps its thread state, or calls in from native code with another each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadState {
    Kept,
    Anew,
}

impl Script {
    pub fn new(steps: &[Step]) -> Script {
        Script { steps: steps.to_vec(), spread: 0.3, born: 0, ends: u64::MAX, state: ThreadState::Kept }
    }
}

/// The state of a thread, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    HoldingAsleep,
    HoldingQueued,
    Waiting,
    HandingOver,
    Native,
    Runnable,
    Idle,
    Gone,
}

impl State {
    pub fn holds(self) -> bool {
        matches!(self, State::Running | State::HoldingAsleep | State::HoldingQueued)
    }

    pub fn on_core(self) -> bool {
        matches!(self, State::Running | State::Native)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    pub thread: usize,
    pub from: u64,
    pub to: u64,
}

impl Interval {
    pub fn length(&self) -> u64 {
        self.to - self.from
    }
}

/// What really happened, from 0 to `end` in nanoseconds.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    pub end: u64,
    pub switch_interval: Ns,
    /// Whole and, at the end, cut ones.
    pub holds: Vec<Interval>,
    pub waits: Vec<Interval>,
    /// When the GIL went to another thread state than its last holder's, and to whom.
    pub handoffs: Vec<(u64, usize)>,
    /// Drops that a request brought about, and whose.
    pub forced: Vec<(u64, usize)>,
    /// From when until when a drop request was pending.
    pub requests: Vec<(u64, u64)>,
    /// Per thread, each change of state.
    pub states: Vec<Vec<(u64, State)>>,
    /// Per thread, time-outs and lost races: moments on a core while it waits.
    pub blips: Vec<Vec<u64>>,
    /// Per thread, when it was in a C function that keeps the GIL.
    pub in_c: Vec<Vec<Interval>>,
}

impl Truth {
    /// Time that `thread` spent from `from` to `to` in a state that `which` picks.
    pub fn time_in(&self, thread: usize, from: u64, to: u64, which: impl Fn(State) -> bool) -> u64 {
        let changes = &self.states[thread];
        let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([self.end]);
        let spans = changes.iter().zip(ends).filter(|((_, state), _)| which(*state));
        spans.map(|((start, _), end)| end.min(to).saturating_sub((*start).max(from))).sum()
    }

    pub fn waits_of(&self, thread: usize) -> Vec<u64> {
        self.waits.iter().filter(|w| w.thread == thread).map(Interval::length).collect()
    }

    /// Share of all time in which the number of waiting threads satisfies `which`; and the mean number.
    pub fn contention(&self) -> (f64, f64) {
        let mut edges: Vec<(u64, i64)> = self.waits.iter().flat_map(|w| [(w.from, 1), (w.to, -1)]).collect();
        edges.sort_unstable();
        let (mut last, mut waiters, mut contended, mut lost) = (0, 0, 0, 0);
        for (at, change) in edges.into_iter().chain([(self.end, 0)]) {
            contended += if waiters > 0 { at - last } else { 0 };
            lost += (at - last) * waiters as u64;
            (last, waiters) = (at, waiters + change);
        }
        (contended as f64 / self.end as f64, lost as f64 / self.end as f64)
    }

    pub fn load(&self) -> f64 {
        self.holds.iter().map(Interval::length).sum::<u64>() as f64 / self.end as f64
    }
}

const NEVER: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Unborn,
    /// In a step, until then.
    Step {
        step: Step,
        until: u64,
    },
    /// In `pthread_cond_timedwait`, since `queued`; `woken`: it has been signalled and gets a core then.
    Waiting {
        queued: u64,
        deadline: u64,
        seen: u64,
        woken: u64,
    },
    /// In `switch_cond`; then it goes on with `next`, or takes the GIL again if there is none.
    HandingOver {
        woken: u64,
        next: Option<Step>,
    },
    Ended,
}

/// The machine that plays the scripts.
#[derive(Debug)]
pub struct World {
    now: u64,
    random: fastrand::Rng,
    scripts: Vec<Script>,
    doing: Vec<Doing>,
    next_step: Vec<usize>,
    /// Bytecode that was interrupted by a forced drop.
    rest: Vec<u64>,
    holder: Option<usize>,
    last_holder: Option<usize>,
    held_since: u64,
    waiting_since: Vec<u64>,
    drop_request: bool,
    switch_number: u64,
    truth: Truth,
}

impl World {
    /// Plays `scripts` for `length` with CPython's default switch interval of 5 ms.
    pub fn play(seed: u64, length: Ns, scripts: &[Script]) -> Truth {
        World::play_at(seed, length, Ns::from_millis(5), scripts)
    }

    pub fn play_at(seed: u64, length: Ns, switch_interval: Ns, scripts: &[Script]) -> Truth {
        let n = scripts.len();
        let mut world = World {
            now: 0,
            random: fastrand::Rng::with_seed(seed),
            scripts: scripts.to_vec(),
            doing: vec![Doing::Unborn; n],
            next_step: vec![0; n],
            rest: vec![0; n],
            holder: None,
            last_holder: None,
            held_since: 0,
            waiting_since: vec![0; n],
            drop_request: false,
            switch_number: 0,
            truth: Truth {
                end: length.0,
                switch_interval,
                states: vec![vec![(0, State::Gone)]; n],
                blips: vec![Vec::new(); n],
                in_c: vec![Vec::new(); n],
                ..Truth::default()
            },
        };
        while let Some((at, thread)) = (0..n).map(|t| (world.due(t), t)).min().filter(|(at, _)| *at < length.0) {
            world.now = at;
            world.act(thread);
        }
        world.finish()
    }

    fn due(&self, thread: usize) -> u64 {
        match self.doing[thread] {
            Doing::Unborn => self.scripts[thread].born,
            Doing::Step { step: Step::Bytecode(_), .. } if self.drop_request => self.now,
            Doing::Step { until, .. } => until,
            Doing::Waiting { deadline, woken, .. } => deadline.min(woken),
            Doing::HandingOver { woken, .. } => woken,
            Doing::Ended => NEVER,
        }
    }

    fn act(&mut self, thread: usize) {
        match self.doing[thread] {
            Doing::Unborn => self.take(thread),
            Doing::Step { step: Step::Bytecode(_), until } if self.drop_request && until > self.now => {
                self.rest[thread] = until - self.now;
                self.truth.forced.push((self.now, thread));
                self.release(thread, None);
            }
            Doing::Step { .. } => self.go_on(thread),
            Doing::HandingOver { next: Some(step), .. } => self.enter(thread, step),
            Doing::HandingOver { next: None, .. } => self.take(thread),
            Doing::Waiting { queued, deadline, seen, .. } => match self.holder {
                None => {
                    self.truth.waits.push(Interval { thread, from: self.waiting_since[thread], to: self.now });
                    self.acquire(thread);
                }
                Some(_) => {
                    self.truth.blips[thread].push(self.now);
                    let timed_out = self.now >= deadline;
                    if timed_out && seen == self.switch_number {
                        self.ask();
                    }
                    let queued = if timed_out { queued } else { self.now };
                    self.wait(thread, queued);
                }
            },
            Doing::Ended => {}
        }
    }

    /// `take_gil`.
    fn take(&mut self, thread: usize) {
        match self.holder {
            None => self.acquire(thread),
            Some(_) => {
                self.become_(thread, State::Waiting);
                self.waiting_since[thread] = self.now;
                self.wait(thread, self.now);
            }
        }
    }

    fn wait(&mut self, thread: usize, queued: u64) {
        let deadline = self.now + self.truth.switch_interval.0;
        self.doing[thread] = Doing::Waiting { queued, deadline, seen: self.switch_number, woken: NEVER };
    }

    fn acquire(&mut self, thread: usize) {
        self.holder = Some(thread);
        self.held_since = self.now;
        self.answer();
        if self.last_holder != Some(thread) || self.scripts[thread].state == ThreadState::Anew {
            self.switch_number += 1;
            self.last_holder = Some(thread);
            self.truth.handoffs.push((self.now, thread));
            for other in 0..self.doing.len() {
                let wake = self.wake_up();
                if let Doing::HandingOver { woken, .. } = &mut self.doing[other] {
                    *woken = (*woken).min(wake);
                }
            }
        }
        match std::mem::take(&mut self.rest[thread]) {
            0 => self.go_on(thread),
            rest => {
                self.doing[thread] = Doing::Step { step: Step::Bytecode(Ns(rest)), until: self.now + rest };
                self.become_(thread, State::Running);
            }
        }
    }

    fn ask(&mut self) {
        if !std::mem::replace(&mut self.drop_request, true) {
            self.truth.requests.push((self.now, NEVER));
        }
    }

    /// Whether there was a request.
    fn answer(&mut self) -> bool {
        let asked = std::mem::take(&mut self.drop_request);
        if let Some((_, until)) = self.truth.requests.last_mut().filter(|_| asked) {
            *until = self.now;
        }
        asked
    }

    /// `drop_gil`, then on to `next`.
    fn release(&mut self, thread: usize, next: Option<Step>) {
        self.truth.holds.push(Interval { thread, from: self.held_since, to: self.now });
        self.holder = None;
        let wake = self.wake_up();
        let first = (0..self.doing.len())
            .filter_map(|t| match self.doing[t] {
                Doing::Waiting { queued, woken: NEVER, .. } => Some((queued, t)),
                _ => None,
            })
            .min();
        if let Some(Doing::Waiting { woken, .. }) = first.map(|(_, t)| &mut self.doing[t]) {
            *woken = wake;
        }
        if self.answer() {
            self.doing[thread] = Doing::HandingOver { woken: NEVER, next };
            self.become_(thread, State::HandingOver);
        } else if let Some(step) = next {
            self.enter(thread, step);
        }
    }

    /// The next step of its script.
    fn go_on(&mut self, thread: usize) {
        if self.now >= self.scripts[thread].ends {
            self.doing[thread] = Doing::Ended;
            if self.holder == Some(thread) {
                self.release(thread, None);
                self.doing[thread] = Doing::Ended;
            }
            return self.become_(thread, State::Gone);
        }
        let script = &self.scripts[thread];
        let step = script.steps[self.next_step[thread] % script.steps.len()];
        let holds = matches!(step, Step::Bytecode(_) | Step::HoldInC(_) | Step::HoldAsleep(_) | Step::HoldQueued(_));
        match (holds, self.holder == Some(thread)) {
            (true, false) => self.take(thread),
            (false, true) => {
                self.next_step[thread] += 1;
                self.release(thread, Some(step));
            }
            _ => {
                self.next_step[thread] += 1;
                self.enter(thread, step);
            }
        }
    }

    fn enter(&mut self, thread: usize, step: Step) {
        let (length, state) = match step {
            Step::Bytecode(length) | Step::HoldInC(length) => (length, State::Running),
            Step::HoldAsleep(length) => (length, State::HoldingAsleep),
            Step::HoldQueued(length) => (length, State::HoldingQueued),
            Step::Native(length) => (length, State::Native),
            Step::Sleep(length) => (length, State::Idle),
            Step::Queued(length) => (length, State::Runnable),
        };
        let spread = self.scripts[thread].spread * (2.0 * self.random.f64() - 1.0);
        let length = (length.0 as f64 * (1.0 + spread)).max(1.0) as u64;
        self.doing[thread] = Doing::Step { step, until: self.now + length };
        if let Step::HoldInC(_) | Step::HoldAsleep(_) | Step::HoldQueued(_) = step {
            self.truth.in_c[thread].push(Interval { thread, from: self.now, to: self.now + length });
        }
        self.become_(thread, state);
    }

    /// When a thread that is woken now gets going.
    fn wake_up(&mut self) -> u64 {
        self.now + self.random.u64(20_000..60_000)
    }

    fn become_(&mut self, thread: usize, state: State) {
        self.truth.states[thread].push((self.now, state));
    }

    fn finish(mut self) -> Truth {
        let end = self.truth.end;
        for thread in 0..self.doing.len() {
            if let Doing::Waiting { .. } = self.doing[thread] {
                self.truth.waits.push(Interval { thread, from: self.waiting_since[thread], to: end });
            }
        }
        self.truth.holds.extend(self.holder.map(|thread| Interval { thread, from: self.held_since, to: end }));
        self.truth
    }
}

#[test]
fn time_is_told_once_and_only_one_thread_holds() {
    let scripts = [
        Script::new(&[Step::Bytecode(Ns::from_millis(1_000))]),
        Script::new(&[Step::Bytecode(Ns::from_micros(10)), Step::Sleep(Ns::MILLISECOND)]),
        Script::new(&[Step::Bytecode(Ns::from_millis(3)), Step::Native(Ns::from_millis(2))]),
    ];
    let truth = World::play(1, Ns::from_millis(10_000), &scripts);
    let mut holds = truth.holds.clone();
    holds.sort_by_key(|hold| hold.from);
    assert!(holds.windows(2).all(|pair| pair[0].to <= pair[1].from), "two threads held at once");
    for thread in 0..scripts.len() {
        assert_eq!(truth.time_in(thread, 0, truth.end, |_| true), truth.end);
        let waited: u64 = truth.waits_of(thread).iter().sum();
        assert_eq!(waited, truth.time_in(thread, 0, truth.end, |s| s == State::Waiting));
    }
    assert!(truth.load() > 0.95, "a busy thread leaves no gap but the handovers: {}", truth.load());
}

#[test]
fn a_thread_that_comes_back_to_a_busy_gil_waits_one_switch_interval() {
    let scripts = [
        Script::new(&[Step::Bytecode(Ns::SECOND)]),
        Script::new(&[Step::Bytecode(Ns::from_micros(10)), Step::Sleep(Ns::MILLISECOND)]),
    ];
    let truth = World::play(2, Ns::from_millis(5_000), &scripts);
    let waits = truth.waits_of(1);
    assert!(waits.len() > 700, "{}", waits.len());
    let whole = &waits[..waits.len() - 1];
    assert!(whole.iter().all(|w| (5_000_000..5_100_000).contains(w)), "{whole:?}");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let scripts = vec![Script::new(&[Step::Bytecode(Ns::MILLISECOND), Step::Sleep(Ns::MILLISECOND)]); 3];
    let play = |seed| World::play(seed, Ns::SECOND, &scripts).states;
    assert_eq!(play(5), play(5));
    assert_ne!(play(5), play(6));
}
