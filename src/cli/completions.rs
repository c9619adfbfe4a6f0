//! `gilscope completions` and `gilscope man`: made of the command line's own description.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs, ManArgs, print};
use crate::error::{Failure, Status};

/// Prints what makes a shell complete gilscope's commands and options.
///
/// # Errors
/// If stdout cannot be written to.
pub fn run(args: &CompletionsArgs) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gilscope", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Status::Ok as u8)
}

/// Prints a manual page.
///
/// # Errors
/// If there is no such command, or stdout cannot be written to.
pub fn man(args: &ManArgs) -> Result<u8, Failure> {
    print(&page(args.command.as_deref())?)?;
    Ok(Status::Ok as u8)
}

fn page(name: Option<&str>) -> Result<String, Failure> {
    let mut whole = Cli::command();
    whole.build();
    let command = match name {
        None => whole,
        Some(name) => {
            let offered = whole.get_subcommands().filter(|command| !command.is_hide_set());
            let names: Vec<&str> = offered.map(clap::Command::get_name).collect();
            let next = format!("There are: {}", names.join(", "));
            let missing = || Failure::new(Status::Usage, format!("there is no command `{name}`")).next(next);
            whole.find_subcommand(name).cloned().ok_or_else(missing)?
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::new(Status::Internal, format!("cannot write a manual page: {error}")))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_command_has_a_page() {
        Cli::command().debug_assert();
        let whole = page(None).expect("it has one");
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            assert!(whole.contains(&format!("gilscope\\-{name}(1)")), "{name}: {whole}");
            let page = page(Some(name)).expect(name);
            assert!(page.contains(".SH SYNOPSIS") && page.contains(&format!("gilscope\\-{name}")), "{page}");
        }
        assert!(page(Some("fly")).is_err_and(|refused| refused.to_string().contains("record")));
    }

    #[test]
    fn every_shell_completes_every_command() {
        use clap::ValueEnum;
        for shell in clap_complete::Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "gilscope", &mut script);
            let script = String::from_utf8(script).expect("text");
            let command = Cli::command();
            let mut offered = command.get_subcommands().filter(|command| !command.is_hide_set());
            assert!(offered.all(|command| script.contains(command.get_name())), "{shell}");
        }
    }
}
