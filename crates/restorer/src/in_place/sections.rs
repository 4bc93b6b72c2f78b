//! The scripts that `pg_restore --file=-` makes of an archive's sections.

use std::ffi::OsString;

use backuper::child::{self, Child, Output, Program};
use backuper::runtime::Failure;
use tokio_util::sync::CancellationToken;

use super::Replacing;
use super::pipes::{copied, whole};
use super::transaction::Transaction;

impl Replacing<'_> {
    pub(super) fn pg_restore(&self, arguments: &[OsString], stdin: bool) -> Result<Child, Failure> {
        let fixed = ["--file=-", "--single-transaction", "--no-owner", "--no-acl"];
        Program {
            path: self.tools.program("pg_restore"),
            arguments: fixed
                .iter()
                .map(OsString::from)
                .chain(self.plan.arguments().iter().map(OsString::from))
                .chain(arguments.iter().cloned())
                .collect(),
            // It speaks to no server, so it is not told of one.
            environment: child::Environment::default(),
            stdin,
            stdout: Output::Piped,
        }
        .start()
        .map_err(|error| failed(&error))
    }

    pub(super) async fn section(
        &self,
        transaction: &mut Transaction,
        arguments: &[OsString],
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut child = self.pg_restore(arguments, false)?;
        let (reader, copying) = copied(&mut child)?;
        let (poured, copied) = tokio::join!(transaction.pour_labelled(reader), copying);
        if let Err(failure) = poured {
            child.stop().await;
            return Err(failure);
        }
        child.finish(stop).await.map_err(|error| failed(&error))?;
        whole("the schema", copied)
    }
}

pub(super) fn failed(error: &child::Error) -> Failure {
    Failure::try_again(format!("restoring: {error}"))
}
