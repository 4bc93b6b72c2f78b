//! Who is told how a run ended, and how it logs: `CORE_ADDR`, `PUSHGATEWAY_URL` and the like.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::parse::{Maybe, maybe};
use super::var::Var;
use crate::report::{CoreAddress, PushgatewayUrl, Receivers};
use crate::runtime::logging::LogFormat;

/// Who is told about the outcome, and how the log looks.
#[derive(Clone, Debug, Args)]
pub struct ReportingSettings {
    /// host:port of the core's BackupMetricsService; empty: nothing is reported to a core.
    #[arg(env = "CORE_ADDR", default_value = "", value_parser = maybe::<CoreAddress>)]
    pub core_addr: Maybe<CoreAddress>,

    /// URL of a Prometheus Pushgateway; empty: nothing is pushed.
    #[arg(env = "PUSHGATEWAY_URL", default_value = "", value_parser = maybe::<PushgatewayUrl>)]
    pub pushgateway_url: Maybe<PushgatewayUrl>,

    /// text or json.
    #[arg(env = "LOG_FORMAT", default_value = "text", value_parser = LogFormat::from_str)]
    pub log_format: LogFormat,

    /// File that receives the last sentence, where it exists (a pod's termination message).
    #[arg(
        env = "TERMINATION_MESSAGE_PATH",
        default_value = "/dev/termination-log"
    )]
    pub termination_message_path: PathBuf,
}

impl ReportingSettings {
    /// Who is told about the outcome.
    #[must_use]
    pub fn receivers(&self) -> Receivers {
        Receivers {
            core: self.core_addr.clone(),
            pushgateway: self.pushgateway_url.clone(),
        }
    }

    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            core_addr,
            pushgateway_url,
            log_format,
            termination_message_path,
        } = self;
        let mut vars = vec![Var::plain("LOG_FORMAT", log_format.to_string())];
        vars.extend(
            core_addr
                .as_ref()
                .map(|it| Var::plain("CORE_ADDR", it.to_string())),
        );
        // It may carry a password, so it is kept like one.
        vars.extend(
            pushgateway_url
                .as_ref()
                .map(|it| Var::secret("PUSHGATEWAY_URL", it.secret())),
        );
        if termination_message_path.as_os_str() != "/dev/termination-log" {
            vars.push(Var::plain(
                "TERMINATION_MESSAGE_PATH",
                termination_message_path.to_string_lossy(),
            ));
        }
        vars
    }
}
