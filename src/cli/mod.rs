//! What the programs share, and each program's command line.
//!
//! Options for connections, output and logs; one JSON document on stdout; exit codes. No work is
//! done here: a program's module reads its arguments and calls one function of a lower room.
//! `src/bin` holds only doors into these modules.

pub mod args;
pub mod buildset_registry;
pub mod certify_rhcc_image;
pub mod exit;
pub mod image_promoter;
pub mod intermediate_registry_sync;
pub mod log;
pub mod output;
mod progress;
pub mod promote_retag;
pub mod publish_image_index;
pub mod upload_with_temp_tag;

use std::future::Future;
use std::process::ExitCode;

use self::args::Common;
use self::exit::Failure;
use self::output::{Format, Report};

/// Runs `work` on the async runtime, prints its report, and says how it ended.
pub fn run<R: Report>(common: &Common, work: impl Future<Output = Result<R, Failure>>) -> ExitCode {
    run_as(common, common.output(), work)
}

/// As [`run`], in a format of its own.
fn run_as<R: Report>(
    common: &Common,
    format: Format,
    work: impl Future<Output = Result<R, Failure>>,
) -> ExitCode {
    common.start_log();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(Failure::io("start the async runtime", &error)),
    };
    output::finish(format, result)
}
