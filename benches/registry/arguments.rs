//! The command line.

use std::time::Duration;

use clap::Parser;

use crate::scale::Scale;
use crate::target::TargetSpec;
use crate::workload::Workload;

/// Measures OCI registries against each other: the same workloads, in turns, on kept-alive connections.
///
/// A result is the median of the rounds. A request that fails (another status, a short body, wrong bytes)
/// makes it void. Targets are filled first, through the plain protocol: about 15,000 small pushes and one
/// large. What is pushed afterwards stays, in repositories whose names begin with bench/push-: use registries
/// that can be thrown away. The full scale takes 600 MiB of memory here, and leaves 10 to 30 GB with each
/// target.
#[derive(Parser, Debug)]
#[command(name = "registry", disable_version_flag = true, max_term_width = 110)]
pub(crate) struct Arguments {
    /// A registry: NAME=URL[,user=U,pass=P][,auth=basic][,pid=N]; with its pid its CPU and memory are counted
    #[arg(long = "target", value_name = "TARGET", required = true)]
    pub(crate) targets: Vec<TargetSpec>,
    /// What to measure; all of it unless given
    #[arg(long = "workload", value_name = "NAME,...", value_delimiter = ',', value_enum)]
    workloads: Vec<Workload>,
    /// The target that the others are compared with; the last unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) baseline: Option<String>,
    /// Rounds in which the targets take turns [default: 3; small: 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds that a target is measured in a round [default: 2; small: 0.3]
    #[arg(long)]
    seconds: Option<f64>,
    /// Connections, where the name of a workload says nothing else
    #[arg(long, default_value_t = 16)]
    pub(crate) connections: usize,
    /// How much content: small is for seeing that everything works
    #[arg(long, value_enum, default_value_t = Scale::Full)]
    pub(crate) scale: Scale,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// A flag that `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    /// The workloads to measure, in the order of the table.
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        let mut all = Workload::all();
        all.retain(|workload| self.workloads.is_empty() || self.workloads.contains(workload));
        all
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(self.scale.rounds()).max(1)
    }

    pub(crate) fn length(&self) -> Duration {
        let given = self.seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        given.unwrap_or(self.scale.length())
    }

    /// The index of the baseline among the targets.
    pub(crate) fn baseline(&self) -> Result<usize, String> {
        let Some(name) = &self.baseline else { return Ok(self.targets.len() - 1) };
        let found = self.targets.iter().position(|target| target.name == *name);
        found.ok_or_else(|| format!("no target is called {name:?}"))
    }
}
