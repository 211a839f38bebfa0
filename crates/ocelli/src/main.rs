//! The camera server.

use std::process::ExitCode;

use ocelli::capture::ThisMachine;
use ocelli::cli::{self, BAD_CONFIGURATION, Command, ServeArgs};
use ocelli::config::{self, Surroundings};
use ocelli::server;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => error.exit(),
    };
    match run(&command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("ocelli: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let environment = |name: &str| std::env::var(name).ok();
    let around = Surroundings { environment: &environment, machine: &ThisMachine };
    match command {
        Command::Serve(args) => serve(args, around),
        Command::Check(args) => {
            let status = cli::check(args, around, &mut std::io::stdout(), &mut std::io::stderr())?;
            Ok(status.into())
        }
        Command::Probe(args) => {
            let runtime = tokio::runtime::Runtime::new()?;
            let (mut out, mut errors) = (std::io::stdout(), std::io::stderr());
            Ok(runtime.block_on(cli::probe(args, &mut out, &mut errors))?.into())
        }
        Command::Devices => Ok(cli::devices(&mut std::io::stdout())?.into()),
    }
}

fn serve(args: &ServeArgs, around: Surroundings<'_>) -> anyhow::Result<ExitCode> {
    match config::load(args, around) {
        Ok(config) => server::run(&config),
        Err(wrong) => {
            eprintln!("{wrong}");
            Ok(BAD_CONFIGURATION.into())
        }
    }
}
