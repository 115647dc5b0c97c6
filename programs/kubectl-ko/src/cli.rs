//! The command line. Arguments after a passed-through program's name go to it unread, hyphens and all.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use crate::database::{self, Database};
use crate::kubectl::Kubectl;
use crate::{
    backup, collect, completion, diagnose, doctor, ipam, node, openstack, perf, reload, restore, take_over,
    trace, uninstall, vpc,
};
use tombolo_names::annotations::BRAKE_RELEASE;

/// Operate Kube-OVN's network from the command line
///
/// It uses kubectl (or the program that KUBECTL names) with your configuration and rights. Components are looked for in the namespace
/// kube-system, or the one that KUBE_OVN_NS names. Completion: kubectl ko completion --help.
#[derive(Parser, Debug)]
#[command(name = "kubectl ko", bin_name = "kubectl ko", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run ovn-nbctl on the cluster's NB database: kubectl ko nbctl show
    Nbctl(Passed),
    /// Run ovn-sbctl on the cluster's SB database: kubectl ko sbctl show
    Sbctl(Passed),
    /// The NB database's servers and contents
    Nb {
        #[command(subcommand)]
        what: Contents,
    },
    /// The SB database's servers and contents
    Sb {
        #[command(subcommand)]
        what: Contents,
    },
    /// Run ovs-vsctl on a node: kubectl ko vsctl NODE show
    Vsctl(OnNode),
    /// Run ovs-ofctl on a node: kubectl ko ofctl NODE dump-flows br-int
    Ofctl(OnNode),
    /// Run ovs-dpctl on a node
    Dpctl(OnNode),
    /// Run ovs-appctl on a node
    Appctl(OnNode),
    /// Show packets of a pod: kubectl ko tcpdump NS/POD [-c 5 icmp …]
    Tcpdump {
        /// NAMESPACE/NAME of the pod
        #[arg(value_name = "NS/POD")]
        pod: String,
        /// Arguments, as tcpdump takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// Trace a packet of a pod or a node through OVN, then through its node's Open vSwitch
    #[command(visible_alias = "ovn-trace")]
    Trace {
        /// NAMESPACE/NAME of a pod, or node//NAME
        #[arg(value_name = "NS/POD|node//NODE")]
        from: String,
        /// IP [MAC] icmp | tcp PORT | udp PORT | arp request|reply
        #[arg(value_name = "PACKET", required = true)]
        packet: Vec<String>,
    },
    /// Print the lines that point Neutron and the hosts at this cluster's databases
    OpenstackConfig,
    /// Check the prerequisites and what goes wrong in practice; exit code 1 with an error, 2 if something could not be checked
    Doctor {
        /// How to print the findings
        #[arg(short, long, value_enum, default_value_t)]
        output: doctor::Form,
        /// Make no pod on the nodes: what only they know isn't checked then
        #[arg(long)]
        no_nodes: bool,
    },
    /// Look at the cluster, a node or a Subnet, step by step
    Diagnose {
        #[command(subcommand)]
        what: diagnose::What,
    },
    /// Show what of each node's environment disturbs the network
    EnvCheck,
    /// Collect logs and state of all nodes into ./kubectl-ko-log
    Log {
        /// Which
        #[arg(value_enum)]
        group: collect::Group,
    },
    /// Measure latency and bandwidth between two nodes: of pods, of the hosts, through a Service
    Perf {
        /// An image with this program, for the pods that measure [default: the agent's]
        image: Option<String>,
        /// How long each figure is measured
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
        seconds: u32,
    },
    /// One end of a measurement; `perf` starts it in its pods
    #[command(hide = true)]
    Measure {
        #[command(subcommand)]
        what: perf::What,
    },
    /// Restart our workloads, one kind after the other, each waited for
    Reload,
    /// Remove ovn-central and ovs-ovn, which helm uninstall keeps; refused while they carry anybody's network
    ///
    /// It looks first, and changes nothing, while Tombolo is installed, while rows of Neutron or of anybody else are in OVN, while hosts
    /// other than this cluster's nodes are chassis of it, while interfaces of VMs are on the nodes' br-int, and while any of this can't be
    /// read. The databases' files and br-int stay on the hosts; it says how they are removed by hand. It can be repeated.
    UninstallOvn {
        /// Do it; without, only say whether it would be done, and what would go
        #[arg(long)]
        yes: bool,
        /// This cluster's id in OVN's external_ids, as the chart's clusterId had it [default: the uid of kube-system]
        #[arg(long, value_name = "ID")]
        cluster_id: Option<String>,
    },
    /// Print a script that completes these commands
    ///
    /// kubectl completes plugins by a program of its own on PATH: link this one there as kubectl_complete-ko
    /// (ln -s "$(command -v kubectl-ko)" /usr/local/bin/kubectl_complete-ko) and kubectl's own completion covers "kubectl ko".
    /// The script printed here is for those who call kubectl-ko.
    Completion {
        /// Of which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory
    Man {
        /// The directory, such as /usr/local/share/man/man1
        directory: PathBuf,
    },
    /// Take a cluster over from Kube-OVN, in place, and the way back (docs/operate/take-over.md)
    TakeOver {
        #[command(subcommand)]
        what: take_over::What,
    },
    /// Inspect address management
    Ipam {
        #[command(subcommand)]
        what: Ipam,
    },
    /// Control the deletion brake
    Brake {
        #[command(subcommand)]
        what: Brake,
    },
}

/// Arguments for another program.
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct Passed {
    /// Arguments, as the program takes them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub arguments: Vec<OsString>,
}

/// A node, and arguments for a program there.
#[derive(clap::Args, Debug)]
pub struct OnNode {
    /// The node's name
    pub node: String,
    /// Arguments, as the program takes them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub arguments: Vec<OsString>,
}

/// What can be done to a database.
#[derive(Subcommand, Debug, Clone)]
pub enum Servers {
    /// List the servers, with their connections and the leader
    Status,
    /// Show whether each server can use its database
    Dbstatus,
    /// Remove a server from the database's cluster
    Kick {
        /// The server's id, of which `status` prints the first digits
        #[arg(value_name = "SID")]
        server: String,
    },
    /// Write the database's contents into a file of this machine
    Backup {
        /// The file [default: ./ovn{nb,sb}_db.<mmddHHMMss>.backup]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// The same, and the way back.
#[derive(Subcommand, Debug, Clone)]
pub enum Contents {
    #[command(flatten)]
    Both(Servers),
    /// Bring a backup's contents back, Neutron's rows included; without --yes only say what would change. Of the NB alone
    Restore {
        /// A file of `backup`, or of `ovsdb-tool cluster-to-standalone`
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Subcommand, Debug, Clone)]
pub enum Ipam {
    /// Compare IP objects, pods' annotations and switch ports; exit code 1 if they differ
    Check {
        /// This cluster's id in OVN's external_ids [default: the controller's, else the uid of kube-system]
        #[arg(long, value_name = "ID")]
        cluster_id: Option<String>,
    },
}

#[derive(Subcommand, Debug, Clone)]
pub enum Brake {
    /// Let the controller carry out the deletions that the brake has stopped
    Release {
        /// The cluster's default Vpc (default: the one that the controller's flag --cluster-router names)
        #[arg(long, value_name = "NAME")]
        vpc: Option<String>,
    },
}

/// Names of all commands that users see, those of two words too.
#[must_use]
pub fn names() -> Vec<String> {
    let command = <Cli as clap::CommandFactory>::command();
    let of = |sub: &clap::Command| {
        let below: Vec<String> =
            sub.get_subcommands().map(|second| format!("{} {}", sub.get_name(), second.get_name())).collect();
        if below.is_empty() { vec![sub.get_name().to_owned()] } else { below }
    };
    command.get_subcommands().filter(|sub| !sub.is_hide_set()).flat_map(of).collect()
}

/// Reads the command line.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    Cli::try_parse_from(args).map(|cli| cli.command)
}

/// Runs the command.
pub fn run(command: Command) -> Result<ExitCode> {
    let kubectl = Kubectl::from_env();
    match command {
        Command::Nbctl(passed) => database::ctl(&kubectl, Database::Nb, &passed.arguments),
        Command::Sbctl(passed) => database::ctl(&kubectl, Database::Sb, &passed.arguments),
        Command::Nb { what } => contents(&kubectl, Database::Nb, what),
        Command::Sb { what } => contents(&kubectl, Database::Sb, what),
        Command::Vsctl(on) => node::exec(&kubectl, "ovs-vsctl", &on.node, &on.arguments),
        Command::Ofctl(on) => node::exec(&kubectl, "ovs-ofctl", &on.node, &on.arguments),
        Command::Dpctl(on) => node::exec(&kubectl, "ovs-dpctl", &on.node, &on.arguments),
        Command::Appctl(on) => node::exec(&kubectl, "ovs-appctl", &on.node, &on.arguments),
        Command::Tcpdump { pod, arguments } => trace::tcpdump(&kubectl, &pod, &arguments),
        Command::Trace { from, packet } => trace::command(&kubectl, &from, &packet),
        Command::OpenstackConfig => openstack::command(&kubectl),
        Command::Doctor { output, no_nodes } => doctor::command(&kubectl, output, !no_nodes),
        Command::Diagnose { what } => diagnose::command(&kubectl, &what),
        Command::EnvCheck => diagnose::environment(&kubectl),
        Command::Log { group } => collect::command(&kubectl, group),
        Command::Perf { image, seconds } => perf::command(&kubectl, image.as_deref(), seconds),
        Command::Measure { what } => perf::end(&what),
        Command::Reload => reload::command(&kubectl),
        Command::UninstallOvn { yes, cluster_id } => uninstall::command(&kubectl, yes, cluster_id.as_deref()),
        Command::Completion { shell } => completion::script(shell),
        Command::Man { directory } => completion::manual(&directory),
        Command::Ipam { what: Ipam::Check { cluster_id } } => ipam::check(&kubectl, cluster_id.as_deref()),
        Command::TakeOver { what } => take_over::command(&kubectl, &what),
        Command::Brake { what: Brake::Release { vpc } } => release(&kubectl, vpc),
    }
}

fn contents(kubectl: &Kubectl, database: Database, what: Contents) -> Result<ExitCode> {
    match what {
        Contents::Both(what) => servers(kubectl, database, what),
        Contents::Restore { .. } if database == Database::Sb => bail!(restore::SB),
        Contents::Restore { file, yes } => restore::command(kubectl, &file, yes),
    }
}

fn servers(kubectl: &Kubectl, database: Database, what: Servers) -> Result<ExitCode> {
    match what {
        Servers::Status => database::servers::status(kubectl, database),
        Servers::Dbstatus => database::servers::storage(kubectl),
        Servers::Kick { server } => database::servers::kick(kubectl, database, &server),
        Servers::Backup { file } => backup::command(kubectl, database, file),
    }
}

fn release(kubectl: &Kubectl, vpc: Option<String>) -> Result<ExitCode> {
    let vpc = vpc.map_or_else(|| vpc::default(kubectl), Ok)?;
    // The controller reacts to a value it hasn't seen; the time of day is one, and shows a reader when it was set.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let annotation = format!("{BRAKE_RELEASE}={}.{:03}", now.as_secs(), now.subsec_millis());
    kubectl.run(&["annotate", "--overwrite", "vpcs.kubeovn.io", &vpc, &annotation])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, clap::Error> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_command_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn arguments_of_other_programs_pass_unread() {
        for (line, want) in [
            ("ko nbctl show", vec!["show"]),
            (
                "ko nbctl --if-exists lsp-del x -- lsp-add sw x",
                vec!["--if-exists", "lsp-del", "x", "--", "lsp-add", "sw", "x"],
            ),
            ("ko nbctl --help", vec!["--help"]),
            ("ko nbctl --format=json list nb_global", vec!["--format=json", "list", "nb_global"]),
            ("ko nbctl -V", vec!["-V"]),
        ] {
            let Command::Nbctl(passed) = read(line).unwrap() else { panic!("{line}") };
            assert_eq!(passed.arguments, want, "{line}");
        }
        let Command::Vsctl(on) = read("ko vsctl host1 --columns=name list interface").unwrap() else {
            panic!()
        };
        assert_eq!(on.node, "host1");
        assert_eq!(on.arguments, ["--columns=name", "list", "interface"]);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in
            ["ko", "ko nope", "ko vsctl", "ko nb", "ko ipam", "ko brake hold", "ko nb kick", "ko sb restore"]
        {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
