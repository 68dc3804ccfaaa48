//! Signals that end a command: Ctrl-C and SIGTERM.

use std::sync::mpsc::{Receiver, channel};

use crate::error::CliError;

/// A channel that has a message once SIGINT or SIGTERM has come. A second signal ends the process as usual.
pub(crate) fn stop() -> Result<Receiver<()>, CliError> {
    let failed = |error: std::io::Error| CliError::Internal(format!("cannot listen for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    let (sender, receiver) = channel();
    let listen = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return std::future::pending().await;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // Nobody listens any more when the work is done.
            let _ = sender.send(());
            interrupt.recv().await;
            std::process::exit(130);
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(failed)?;
    Ok(receiver)
}
