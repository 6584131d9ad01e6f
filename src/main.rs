//! The program: reads the config, opens the App, serves until a signal.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use localtrail::app::App;
use localtrail::config::{CommandLine, Config};
use localtrail::http::connections;
use mimalloc::MiMalloc;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// With glibc's allocator, a sixth of the instructions of a recorded call were those to allocate and to free.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let config = match CommandLine::try_parse() {
        Ok(command_line) => command_line.config(),
        Err(error) if error.use_stderr() => {
            // One line that says which option it is and what is allowed.
            let text = error.to_string();
            return fail(
                2,
                text.lines()
                    .map(str::trim)
                    .take_while(|line| !line.is_empty())
                    .collect::<Vec<_>>()
                    .join(" "),
            );
        }
        Err(help) => help.exit(),
    };
    let filter = EnvFilter::try_from_env("LOCALTRAIL_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,localtrail=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .finish()
        .with(filter_fn(|from| !tells_secrets(from.target())))
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let served = runtime
        .context("cannot start")
        .and_then(|runtime| runtime.block_on(serve(config)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, format!("error: {error:#}")),
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let listen = config.listen;
    let listener =
        connections::listen(listen).with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let app = App::open(config, &format!("http://{address}")).await?;
    // A write beyond a limit on the size of files is to fail like one to a full disk, not to end the process.
    let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    let stop = CancellationToken::new();
    tokio::spawn({
        let (mut terminate, stop) = (signal(SignalKind::terminate())?, stop.clone());
        async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            stop.cancel();
        }
    });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "localtrail listening on http://{address}").and_then(|()| stdout.flush())?;
    app.serve(listener, stop).await;
    Ok(())
}

/// Parts of the program that log requests whole, session tokens and customers' keys among their headers.
const TELL_SECRETS: [&str; 2] = ["aws_sigv4", "s3s"];

/// Whether this part of the program is never listened to, whatever is asked for.
fn tells_secrets(target: &str) -> bool {
    let part = target.split("::").next().unwrap_or_default();
    TELL_SECRETS.contains(&part)
}

fn fail(code: u8, message: impl std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::from(code)
}
