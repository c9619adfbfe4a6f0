//! The report for people, as they see it.

use gilscope::findings::Allowed;
use gilscope::model::snapshot::Snapshot;
use gilscope::report::{Color, TextOptions, summary_line, text};
use gilscope::time::Ns;
use unicode_width::UnicodeWidthStr;

use crate::fixtures;

fn plain(snapshot: &Snapshot, width: u16) -> String {
    text(snapshot, &TextOptions { width, color: Color::Never, allowed: Allowed::NONE })
}

fn shown(name: &str, content: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, content);
    });
}

#[test]
fn what_people_see() {
    let widths = |name: &str| match name {
        "typical" | "two_interpreters" | "hostile_names" | "64_threads" => vec![60, 80, 120],
        _ => vec![80],
    };
    for (name, snapshot) in fixtures::all() {
        for width in widths(name) {
            shown(&format!("report_{name}_{width}"), &plain(&snapshot, width));
        }
    }
    shown(
        "report_typical_color",
        &text(&fixtures::typical(), &TextOptions { width: 80, color: Color::Ansi, allowed: Allowed::NONE })
            .replace('\x1b', "␛"),
    );
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for (name, snapshot) in fixtures::all() {
        for width in (0..=130).chain([200, u16::MAX]) {
            for line in plain(&snapshot, width).lines() {
                let most = usize::from(width).min(120);
                assert!(line.width() <= most, "{name} at {width}: {} columns: {line:?}", line.width());
            }
        }
    }
}

#[test]
fn without_color_there_is_no_escape_and_color_changes_no_text() {
    for (name, snapshot) in fixtures::all() {
        let plain = plain(&snapshot, 100);
        assert!(!plain.contains('\x1b'), "{name}");
        let colored = text(&snapshot, &TextOptions { width: 100, color: Color::Ansi, allowed: Allowed::NONE });
        let mut stripped = String::new();
        let mut parts = colored.split('\x1b');
        stripped.push_str(parts.next().unwrap());
        for part in parts {
            stripped.push_str(part.split_once('m').unwrap().1);
        }
        let trimmed: Vec<&str> = stripped.lines().map(str::trim_end).collect();
        assert_eq!(trimmed, plain.lines().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn below_the_resolution_it_says_so() {
    let scene = fixtures::Scene::new(1)
        .thread(fixtures::Thread::main("m").holds(0.5))
        .thread(fixtures::Thread::named("w").waits(0.01).each_wait(Ns::from_micros(300)));
    let shown = plain(&scene.snapshot(), 120);
    assert!(shown.contains("p50 <1.00 ms"), "{shown}");
}

#[test]
fn a_slower_rate_than_asked_for_is_told() {
    let scene = fixtures::Scene::new(1)
        .sampled_every(Ns::from_millis(4), gilscope::event::RateReason::TooCostly)
        .thread(fixtures::Thread::main("m").holds(0.5));
    let shown = plain(&scene.snapshot(), 120);
    assert!(shown.contains("at 250 /s, 1000 /s at first: a look costs too much here"), "{shown}");
}

#[test]
fn one_line_for_those_without_a_terminal() {
    let lines: Vec<String> =
        fixtures::all().iter().map(|(name, snapshot)| format!("{name:>16}: {}", summary_line(snapshot))).collect();
    assert!(lines.iter().all(|line| line.lines().count() == 1));
    shown("report_summary_lines", &lines.join("\n"));
}
