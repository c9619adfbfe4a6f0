//! A thread that finds out what addresses mean: files and tables take longer to read than a tick may.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::event::{NativeInfo, SeenHolder, Tid};
use crate::instruments::clock;
use crate::instruments::perf::UserSample;
use crate::target::{Code, Standstill, Task};
use crate::time::{MonoNs, Ns};

/// Questions that may wait; more are not asked.
const QUEUE: usize = 16;
/// It may use this share of a core: one part in so many.
const SHARE: u64 = 30;
/// The longest pause that this share asks for.
const LONGEST_PAUSE: Ns = Ns::from_millis(500);
/// Bytes of a sleeper's stack that are read.
const STACK: usize = 4_096;

/// What to find out.
#[derive(Debug)]
pub enum Question {
    /// Where a task sleeps now.
    Asleep {
        /// In which hold.
        hold: u64,
        /// Which task.
        tid: Tid,
    },
    /// Where a task was when it was sampled.
    OnCore {
        /// In which hold.
        hold: u64,
        /// The sample.
        sample: Box<UserSample>,
    },
}

/// What was found out.
#[derive(Debug)]
pub struct Answer {
    /// In which hold.
    pub hold: u64,
    /// Of which instant.
    pub at: MonoNs,
    /// Whether the task ran.
    pub how: SeenHolder,
    /// Whose code it was in.
    pub info: NativeInfo,
}

/// The thread. It ends by itself when this value is dropped.
#[derive(Debug)]
pub struct Resolver {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
}

impl Resolver {
    /// Starts it; `None` if there can be no more threads.
    pub fn start(mut code: Code) -> Option<Resolver> {
        let (questions, asked) = sync_channel(QUEUE);
        let (tell, answers) = sync_channel(QUEUE);
        let serve = move || {
            while let Ok(question) = asked.recv() {
                let before = clock::thread_cpu();
                if let Some(answer) = answer(&mut code, question)
                    && let Err(TrySendError::Disconnected(_)) = tell.try_send(answer)
                {
                    return;
                }
                let cost = clock::thread_cpu().saturating_sub(before);
                let pause = Ns(cost.0.saturating_mul(SHARE)).min(LONGEST_PAUSE);
                thread::sleep(Duration::from_nanos(pause.0));
            }
        };
        thread::Builder::new().name("gilscope-native".to_owned()).spawn(serve).ok()?;
        Some(Resolver { questions, answers })
    }

    /// Asks, unless too much was asked already. Never blocks.
    pub fn ask(&self, question: Question) {
        let _full = self.questions.try_send(question);
    }

    /// Answers that have come.
    pub fn answers(&self) -> impl Iterator<Item = Answer> {
        self.answers.try_iter()
    }
}

fn answer(code: &mut Code, question: Question) -> Option<Answer> {
    match question {
        Question::Asleep { hold, tid } => {
            let (at, standstill) = asleep(code, tid)?;
            Some(Answer { hold, at, how: SeenHolder::Asleep, info: code.locate(&standstill)? })
        }
        Question::OnCore { hold, sample } => {
            Some(Answer { hold, at: sample.at, how: SeenHolder::OnCore, info: code.locate(&sample.standstill)? })
        }
    }
}

/// Where a task sleeps, and its stack, if both are of one sleep.
fn asleep(code: &Code, tid: Tid) -> Option<(MonoNs, Standstill)> {
    let mut task = Task::new(code.memory().pid(), tid);
    let before = task.asleep_at().ok()??;
    let mut stack = vec![0; STACK];
    if code.memory().read(before.stack, &mut stack).is_err() {
        // The stack may end before.
        stack.truncate(STACK - (before.stack.0 % STACK as u64) as usize);
        code.memory().read(before.stack, &mut stack).ok()?;
    }
    let at = clock::now();
    // In the same call with the same arguments and stack pointer it may have been another time: from the same place.
    (task.asleep_at().ok()? == Some(before)).then(|| (at, Standstill::new(before.pc, before.stack, stack)))
}
