//! What looking costs here, measured once for all who look.

use std::sync::{Arc, OnceLock};

use crate::event::Costs;
use crate::instruments::calibrate;

/// The measurement, which goes on on a thread of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Calibration(Arc<OnceLock<Costs>>);

/// Says what it came to, whatever it came to.
struct Verdict(Arc<OnceLock<Costs>>, Costs);

impl Drop for Verdict {
    fn drop(&mut self) {
        let _said_before = self.0.set(self.1);
    }
}

impl Calibration {
    /// Begins to measure.
    pub fn start() -> Calibration {
        let calibration = Calibration::default();
        let verdict = Verdict(Arc::clone(&calibration.0), Costs::ASSUMED);
        let measure = move || {
            let mut verdict = verdict;
            verdict.1 = calibrate();
        };
        // Without a thread, what is dropped says what is assumed.
        let _refused = std::thread::Builder::new().name("gilscope-costs".to_owned()).spawn(measure);
        calibration
    }

    /// What it came to, once that is known.
    pub fn known(&self) -> Option<Costs> {
        self.0.get().copied()
    }

    /// What it came to, whatever it takes.
    pub fn awaited(&self) -> Costs {
        *self.0.wait()
    }
}
