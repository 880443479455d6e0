//! `windrow completions SHELL`: the script by which a shell completes verbs, flags and files. It comes from the same
//! description of the command line as the help.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::{Arguments, Session};
use crate::error::Result;

/// What `completions` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    source <(windrow completions bash)    # for this bash alone\n\n\
    For every new shell, once; make the folder with mkdir -p where it is not there:\n  \
    bash    windrow completions bash \\\n            > ~/.local/share/bash-completion/completions/windrow\n  \
    zsh     windrow completions zsh > ~/.zfunc/_windrow\n          \
    with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc\n  \
    fish    windrow completions fish > ~/.config/fish/completions/windrow.fish\n  \
    elvish  windrow completions elvish >> ~/.config/elvish/rc.elv\n  \
    PowerShell\n          windrow completions powershell >> $PROFILE")]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// stdout cannot be written.
pub fn run(session: &Session, arguments: &CompletionsArguments) -> Result<()> {
    session.print(&script(arguments.shell))
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "windrow", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_shell_has_a_script_with_every_verb() {
        for shell in Shell::value_variants() {
            let text = String::from_utf8(script(*shell)).unwrap();
            for verb in Arguments::command().get_subcommands() {
                assert!(text.contains(verb.get_name()), "{shell}: {}", verb.get_name());
            }
            assert!(text.contains("chart") && text.contains("always"), "{shell}: flags and their values");
        }
    }
}
