//! What can be done, and with which keys unless the user says otherwise: the one table behind dispatch, footer, help,
//! README and configuration.

use ratatui::crossterm::event::KeyCode;

use crate::dashboard::keys::{Press, ctrl, key, letter};
use crate::dashboard::views::View;
use crate::session::{Ability, Capabilities, Origin};

/// What a user can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Leave.
    Quit,
    /// Leave, and keep a report of what was seen on the terminal.
    QuitWithReport,
    /// Show or hide the help.
    Help,
    /// Give the terminal back to the shell for a while.
    Suspend,
    /// Draw everything afresh.
    Redraw,
    /// Write the screen as a picture.
    Snapshot,
    /// Freeze the view, or let it go on.
    Pause,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One screen up.
    PageUp,
    /// One screen down.
    PageDown,
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// One column to the left.
    Left,
    /// One column to the right.
    Right,
    /// Look closer at what is under the cursor.
    Open,
    /// Another measure of what is shown.
    Measure,
    /// To the instant of what is under the cursor.
    Visit,
    /// Compare what is under the cursor with what comes next.
    Compare,
    /// Compare what was before a mark with what came after it.
    CompareMark,
    /// Put what was not used together, or show each for itself.
    Fold,
    /// Sort by the next column.
    SortNext,
    /// Sort by the column before.
    SortPrevious,
    /// Sort the other way round.
    Reverse,
    /// Type what rows must contain.
    Filter,
    /// Show what is known of the selected thread.
    Select,
    /// Back: out of the selection, then out of the filter.
    Back,
    /// Show a view.
    Show(View),
    /// The next view.
    NextView,
    /// The view before.
    PreviousView,
    /// The next panel alone, then all of them.
    NextPanel,
    /// The panel before.
    PreviousPanel,
    /// Another time that recent figures are of.
    Window,
    /// Another GIL.
    NextGil,
    /// Less time in the lanes.
    ZoomIn,
    /// More time in the lanes.
    ZoomOut,
    /// The timeline's cursor one column back.
    CursorBack,
    /// One column ahead.
    CursorAhead,
    /// The timeline half a screen back.
    PanBack,
    /// Half a screen ahead.
    PanAhead,
    /// One end of a span is here.
    MarkSpan,
    /// The span fills the screen.
    ZoomToSpan,
    /// One look back.
    StepBack,
    /// One look ahead.
    StepAhead,
    /// Ten seconds back.
    JumpBack,
    /// Ten seconds ahead.
    JumpAhead,
    /// Type an instant to go to.
    GoTo,
    /// To the oldest instant there is.
    Beginning,
    /// To the newest instant there is.
    End,
    /// Replay at half the speed.
    Slower,
    /// Replay at twice the speed.
    Faster,
    /// Set a mark.
    Mark,
    /// To the mark before.
    PreviousMark,
    /// To the next mark.
    NextMark,
    /// Begin to record, or end it.
    Record,
}

impl Action {
    /// What it is called where it is configured. Never changes: it stands in users' files.
    pub fn name(self) -> &'static str {
        match self {
            Action::Quit => "quit",
            Action::QuitWithReport => "quit-with-report",
            Action::Help => "help",
            Action::Suspend => "suspend",
            Action::Redraw => "redraw",
            Action::Snapshot => "snapshot",
            Action::Pause => "pause",
            Action::Up => "up",
            Action::Down => "down",
            Action::PageUp => "page-up",
            Action::PageDown => "page-down",
            Action::First => "first",
            Action::Last => "last",
            Action::Left => "left",
            Action::Right => "right",
            Action::Open => "open",
            Action::Measure => "measure",
            Action::Visit => "visit",
            Action::Compare => "compare",
            Action::CompareMark => "compare-mark",
            Action::Fold => "fold",
            Action::SortNext => "sort-next",
            Action::SortPrevious => "sort-previous",
            Action::Reverse => "reverse",
            Action::Filter => "filter",
            Action::Select => "details",
            Action::Back => "back",
            Action::Show(view) => view.name(),
            Action::NextView => "next-view",
            Action::PreviousView => "previous-view",
            Action::NextPanel => "next-panel",
            Action::PreviousPanel => "previous-panel",
            Action::Window => "window",
            Action::NextGil => "next-gil",
            Action::ZoomIn => "zoom-in",
            Action::ZoomOut => "zoom-out",
            Action::CursorBack => "cursor-back",
            Action::CursorAhead => "cursor-ahead",
            Action::PanBack => "pan-back",
            Action::PanAhead => "pan-ahead",
            Action::MarkSpan => "span",
            Action::ZoomToSpan => "zoom-to-span",
            Action::StepBack => "step-back",
            Action::StepAhead => "step-ahead",
            Action::JumpBack => "jump-back",
            Action::JumpAhead => "jump-ahead",
            Action::GoTo => "go-to",
            Action::Beginning => "beginning",
            Action::End => "end",
            Action::Slower => "slower",
            Action::Faster => "faster",
            Action::Mark => "mark",
            Action::PreviousMark => "previous-mark",
            Action::NextMark => "next-mark",
            Action::Record => "record",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Action> {
        BINDINGS.iter().map(|binding| binding.action).find(|action| action.name() == name)
    }
}

/// Which part of the help an action stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The program itself.
    General,
    /// Which view is shown.
    Views,
    /// The rows of its table.
    Rows,
    /// The thread table.
    Threads,
    /// Lanes over time.
    Timeline,
    /// Who made whom wait.
    Blame,
    /// What is shown of it.
    Figures,
    /// The time shown.
    Time,
}

impl Group {
    /// All, in the order in which they are shown.
    pub const ALL: [Group; 8] = [
        Group::General,
        Group::Views,
        Group::Rows,
        Group::Threads,
        Group::Timeline,
        Group::Blame,
        Group::Figures,
        Group::Time,
    ];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::General => "General",
            Group::Views => "Views",
            Group::Rows => "Rows",
            Group::Threads => "Threads",
            Group::Timeline => "Timeline",
            Group::Blame => "Blame",
            Group::Figures => "Figures",
            Group::Time => "Time",
        }
    }
}

/// What a session must be able to do for an action to make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing special.
    Nothing,
    /// Look at the past.
    Past,
    /// Replay a recording.
    Replay,
    /// Make a recording.
    Recording,
}

impl Needs {
    /// Whether a session can do it.
    pub fn met_by(self, session: Capabilities) -> bool {
        match self {
            Needs::Nothing => true,
            Needs::Past => session.past == Ability::Can,
            Needs::Replay => session.origin == Origin::Recording,
            Needs::Recording => session.recording == Ability::Can,
        }
    }
}

/// An action, the keys it is on by default, and what is said of it.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// What it does.
    pub action: Action,
    /// The keys it is on by default, the usual one first.
    pub keys: &'static [Press],
    /// Where it stands in the help.
    pub group: Group,
    /// What the footer calls it; `None`: it is not in the footer.
    pub label: Option<&'static str>,
    /// What the help says.
    pub help: &'static str,
    /// What it needs of the session.
    pub needs: Needs,
    /// The views in which it means something.
    pub views: &'static [View],
}

const fn bind(action: Action, keys: &'static [Press], group: Group, help: &'static str) -> Binding {
    Binding { action, keys, group, label: None, help, needs: Needs::Nothing, views: &View::ALL }
}

impl Binding {
    const fn label(self, label: &'static str) -> Binding {
        Binding { label: Some(label), ..self }
    }

    const fn needs(self, needs: Needs) -> Binding {
        Binding { needs, ..self }
    }

    const fn only_in(self, views: &'static [View]) -> Binding {
        Binding { views, ..self }
    }
}

/// The key of a view.
const fn show(view: View) -> Binding {
    bind(Action::Show(view), view.keys(), Group::Views, view.help())
}

use Action as A;
use Group as G;

const OVERVIEW: &[View] = &[View::Overview];
const CORES: &[View] = &[View::Cores];
const WINDOWED: &[View] = &[View::Overview, View::Processes];
const BLAME: &[View] = &[View::Blame];
const ZOOMED: &[View] = &[View::Overview, View::Cores, View::Timeline];
const TIMELINE: &[View] = &[View::Timeline];
const HISTOGRAMS: &[View] = &[View::Histograms];
const CONVOYS: &[View] = &[View::Convoys];
const WITH_THREADS: &[View] = &[View::Overview, View::Timeline, View::Histograms, View::Convoys, View::Blame];
const OPENING: &[View] = &[View::Blame, View::Findings, View::Processes];

/// The table. The footer shows labels in this order.
pub const BINDINGS: [Binding; 63] = [
    bind(A::Quit, &[letter('q'), ctrl('c')], G::General, "quit; the recording is closed in order").label("quit"),
    bind(A::Help, &[letter('?'), key(KeyCode::F(1))], G::General, "this help").label("help"),
    bind(A::Pause, &[letter(' '), letter('p')], G::Time, "freeze the view and go on; the capture never stops")
        .label("pause"),
    bind(A::Filter, &[letter('/')], G::Threads, "show only threads whose name, tid or state contains a text")
        .label("filter")
        .only_in(WITH_THREADS),
    bind(A::SortNext, &[letter('s'), key(KeyCode::Right), letter('l')], G::Threads, "sort by the next column")
        .label("sort")
        .only_in(OVERVIEW),
    bind(A::SortPrevious, &[letter('S'), key(KeyCode::Left), letter('h')], G::Threads, "sort by the column before")
        .only_in(OVERVIEW),
    bind(A::Reverse, &[letter('i')], G::Threads, "sort the other way round").label("reverse").only_in(OVERVIEW),
    bind(A::Up, &[key(KeyCode::Up), letter('k')], G::Rows, "one row up"),
    bind(A::Down, &[key(KeyCode::Down), letter('j')], G::Rows, "one row down"),
    bind(A::PageUp, &[key(KeyCode::PageUp), ctrl('u')], G::Rows, "one screen up; findings: the text"),
    bind(A::PageDown, &[key(KeyCode::PageDown), ctrl('d')], G::Rows, "one screen down; findings: the text"),
    bind(A::First, &[key(KeyCode::Home), letter('g')], G::Rows, "to the first row"),
    bind(A::Last, &[key(KeyCode::End), letter('G')], G::Rows, "to the last row"),
    bind(A::Left, &[key(KeyCode::Left), letter('h')], G::Blame, "blame: one holder to the left").only_in(BLAME),
    bind(A::Right, &[key(KeyCode::Right), letter('l')], G::Blame, "blame: one holder to the right").only_in(BLAME),
    bind(
        A::Open,
        &[key(KeyCode::Enter)],
        G::Rows,
        "blame: what the holder executed, then a whole stack; findings: where it shows; processes: all views of it",
    )
    .label("open")
    .only_in(OPENING),
    bind(A::Visit, &[key(KeyCode::Enter)], G::Rows, "convoys: to the instant when the selected one ended")
        .label("go there")
        .needs(Needs::Past)
        .only_in(CONVOYS),
    bind(A::Measure, &[letter('u')], G::Blame, "blame: shares of all waiting, of the waiter's own, or times")
        .label("measure")
        .only_in(BLAME),
    bind(A::Compare, &[letter('c')], G::Rows, "histograms: compare with the selected row; with none again")
        .label("compare")
        .only_in(HISTOGRAMS),
    bind(
        A::CompareMark,
        &[letter('C')],
        G::Rows,
        "histograms: before and after the newest mark, the one before it, none",
    )
    .label("mark")
    .needs(Needs::Past)
    .only_in(HISTOGRAMS),
    bind(
        A::Fold,
        &[key(KeyCode::Enter)],
        G::Rows,
        "cores: those that the program was never on each for itself; together again",
    )
    .label("unfold")
    .only_in(CORES),
    bind(
        A::Select,
        &[key(KeyCode::Enter)],
        G::Threads,
        "all that is known of the selected thread, again closes it; each of those that share a row",
    )
    .label("details")
    .only_in(OVERVIEW),
    bind(
        A::Back,
        &[key(KeyCode::Esc)],
        G::General,
        "back: closes the help, what was opened, the selection, the filter; then to the processes",
    ),
    bind(A::NextView, &[key(KeyCode::Tab)], G::Views, "the next view").label("view"),
    bind(A::PreviousView, &[key(KeyCode::BackTab)], G::Views, "the view before"),
    show(View::Overview),
    show(View::Cores),
    show(View::Timeline),
    show(View::Histograms),
    show(View::Convoys),
    show(View::Interrupts),
    show(View::Blame),
    show(View::Findings),
    show(View::Processes),
    bind(A::NextPanel, &[letter('v')], G::Figures, "one panel alone, the next one, all again")
        .label("panel")
        .only_in(OVERVIEW),
    bind(A::PreviousPanel, &[letter('V')], G::Figures, "the panel before").only_in(OVERVIEW),
    bind(A::Window, &[letter('w')], G::Figures, "recent figures over 1 s, 10 s, or the whole capture")
        .label("window")
        .only_in(WINDOWED),
    bind(
        A::CursorBack,
        &[key(KeyCode::Left), letter('h')],
        G::Timeline,
        "the cursor one column back; time stands still",
    )
    .label("cursor")
    .only_in(TIMELINE),
    bind(A::CursorAhead, &[key(KeyCode::Right), letter('l')], G::Timeline, "one column ahead").only_in(TIMELINE),
    bind(A::MarkSpan, &[key(KeyCode::Enter)], G::Timeline, "a span from here on: its figures; none again")
        .label("span")
        .only_in(TIMELINE),
    bind(A::ZoomIn, &[letter('+'), letter('=')], G::Figures, "less time in the lanes").label("zoom").only_in(ZOOMED),
    bind(A::ZoomOut, &[letter('-')], G::Figures, "more time in the lanes").only_in(ZOOMED),
    bind(A::ZoomToSpan, &[letter('z')], G::Timeline, "the span fills the screen").only_in(TIMELINE),
    bind(A::PanBack, &[letter('H')], G::Timeline, "half a screen back").label("pan").only_in(TIMELINE),
    bind(A::PanAhead, &[letter('L')], G::Timeline, "half a screen ahead").only_in(TIMELINE),
    bind(A::NextGil, &[letter('o')], G::Figures, "another GIL, where there are several"),
    bind(A::StepBack, &[letter('[')], G::Time, "one look of the sampler back").needs(Needs::Past).label("step"),
    bind(A::StepAhead, &[letter(']')], G::Time, "one look ahead").needs(Needs::Past),
    bind(A::JumpBack, &[letter('{'), letter(',')], G::Time, "ten seconds back").needs(Needs::Past).label("10 s"),
    bind(A::JumpAhead, &[letter('}'), letter('.')], G::Time, "ten seconds ahead").needs(Needs::Past),
    bind(A::GoTo, &[letter('t')], G::Time, "go to an instant: 12.5 or 1:02.5 from the start, -10s, +500ms, mark #2")
        .needs(Needs::Past)
        .label("go to"),
    bind(A::Beginning, &[letter('b')], G::Time, "to the oldest instant that is kept").needs(Needs::Past),
    bind(A::End, &[letter('e')], G::Time, "to the newest instant").needs(Needs::Past),
    bind(A::Slower, &[letter('<')], G::Time, "replay at half the speed").needs(Needs::Replay).label("speed"),
    bind(A::Faster, &[letter('>')], G::Time, "replay at twice the speed").needs(Needs::Replay),
    bind(A::Mark, &[letter('m')], G::Time, "set a mark at the instant shown").needs(Needs::Past).label("mark"),
    bind(A::PreviousMark, &[letter('N')], G::Time, "to the mark before").needs(Needs::Past),
    bind(A::NextMark, &[letter('n')], G::Time, "to the next mark").needs(Needs::Past),
    bind(A::Record, &[letter('R')], G::Time, "begin to record, from the oldest instant that is kept; end it")
        .needs(Needs::Recording)
        .label("record"),
    bind(A::QuitWithReport, &[letter('Q')], G::General, "quit, and leave a report on the terminal"),
    bind(A::Suspend, &[ctrl('z')], G::General, "give the terminal back to the shell; `fg` returns"),
    bind(A::Redraw, &[ctrl('l')], G::General, "draw everything afresh"),
    bind(A::Snapshot, &[letter('P')], G::General, "write the screen as a picture (SVG) into the current directory"),
];

/// The table in Markdown.
pub fn markdown() -> String {
    let mut out = String::from("| Keys | |\n|---|---|\n");
    for group in Group::ALL {
        for binding in BINDINGS.iter().filter(|binding| binding.group == group) {
            let keys: Vec<String> = binding.keys.iter().map(|press| format!("`{press}`")).collect();
            out.push_str(&format!("| {} | {} |\n", keys.join(" "), binding.help));
        }
    }
    out
}
