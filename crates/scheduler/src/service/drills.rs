//! Restore drills: a backup is restored into a database of its own, compared, and thrown away.

pub mod following;

use backuper::catalog::Revision;
use backuper::postgres::SslMode;

use super::Service;
use crate::domain::access::Named;
use crate::domain::credential::Credential;
use crate::domain::database::{self, Database};
use crate::domain::options::OwnLayout;
use crate::domain::restore::{Drill, Restore, Wishes};
use crate::domain::run::Component;
use crate::domain::store::Store;
use crate::engine::{Error, Kind, Started};
use crate::postgres::password;

/// Characters of the password of a server that nobody but its drill reaches.
const PASSWORD: usize = 32;
/// Who administers the servers of PostgreSQL's images.
const SUPERUSER: &str = "postgres";

/// A drill that is asked for.
#[derive(Clone, Debug)]
pub struct Proof {
    /// What tells its runs from others': one of them is under way at a time.
    pub of: String,
    /// Where the throw-away database is made.
    pub server: Server,
    /// Where the backup is.
    pub store: Store,
    /// Its key there.
    pub key: String,
    /// The database that it is of, `host:port/dbname`, where that is known.
    pub source: Option<String>,
    /// Under which keys the dumps lie among which it is.
    pub layout: OwnLayout,
    /// What is asked of what has come back.
    pub sql: Vec<String>,
    /// What the caller calls this request: it is run once.
    pub request_id: String,
}

/// Where a throw-away database is made.
#[derive(Clone, Debug)]
pub enum Server {
    /// On this server, with this login; its database is not touched.
    Named(Box<Database>),
    /// On one of this image that begins and ends with the drill.
    Image(String),
}

impl Service {
    /// Starts the drill of an object, or finds the same one.
    ///
    /// # Errors
    /// [`Kind::Denied`], [`Kind::Invalid`] where the engine has no containers, and what it could not do.
    pub async fn drill_for_object(&self, proof: Proof) -> Result<Started, Error> {
        let mut restore = wanted(proof)?;
        self.permit_places(Named {
            // The other one is in the drill's own pod.
            database: Some(&restore.target).filter(|_| !has_image(&restore)),
            store: Some(&restore.store),
            core: None,
        })
        .await?;
        self.engine.permit(Component::Restore, &restore.store)?;
        self.give_identity(&mut restore);
        let started = self.engine.start(&restore).await?;
        tracing::info!(run = %started.name, of = restore.target.name, by = started.by.word(), "proving a backup");
        self.ledger.has_heard_of(&started.name).await;
        Ok(started)
    }
}

fn has_image(restore: &Restore) -> bool {
    let drill = restore.drill.as_ref();
    drill.is_some_and(|it| it.image.is_some())
}

/// The restore that a drill is.
fn wanted(proof: Proof) -> Result<Restore, Error> {
    let Proof {
        of,
        server,
        store,
        key,
        source,
        layout,
        sql,
        request_id,
    } = proof;
    let (server, image) = match server {
        Server::Named(server) => (*server, None),
        Server::Image(image) => {
            let password = password::generate(PASSWORD)
                .map_err(|why| Error::new("start a restore drill", Kind::Internal, why))?;
            let server = Database {
                host: "127.0.0.1".to_owned(),
                port: database::PORT,
                name: String::new(),
                user: SUPERUSER.to_owned(),
                password: Credential::Inline(Some(password)),
                sslmode: Some(SslMode::Disable),
                authorities: None,
            };
            (server, Some(image))
        }
    };
    Ok(Restore {
        target: Database {
            name: Drill::name(&of),
            ..server
        },
        store,
        revision: Revision::Named(key),
        identity: Credential::Ambient,
        core: None,
        request_id,
        as_of: None,
        // A drill that is late takes nothing from anybody.
        begin_by: None,
        source,
        lent: None,
        wishes: Wishes::of_a_drill(),
        layout,
        drill: Some(Drill { sql, image }),
        ttl: None,
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::engine::conformance;

    fn proof(server: Server) -> Proof {
        let store = conformance::restore("shop", "0", 0).store;
        Proof {
            of: "team_nightly".to_owned(),
            server,
            store,
            key: "shop/1".to_owned(),
            source: None,
            layout: OwnLayout::default(),
            sql: Vec::new(),
            request_id: "1".to_owned(),
        }
    }

    /// Whatever a worker that knows no drills did with it, it would be in no database of anybody's.
    #[test]
    fn a_drill_names_a_database_that_is_nobodys() {
        let server = conformance::database("shop", "hunter2");
        let named = wanted(proof(Server::Named(Box::new(server.clone())))).unwrap();
        assert_eq!(named.target.name, "restore_drill_team_nightly");
        assert!(named.target.has_login_of(&server) && named.drill.is_some());
        assert_eq!(named.begin_by, None);
    }

    #[test]
    fn a_server_of_an_image_has_a_password_of_its_own_that_tells_no_requests_apart() {
        let one = || wanted(proof(Server::Image("postgres:17".to_owned()))).unwrap();
        let password = |it: &Restore| match &it.target.password {
            Credential::Inline(Some(password)) => password.expose_secret().to_owned(),
            _ => String::new(),
        };
        let (first, second) = (one(), one());
        assert_eq!(password(&first).len(), PASSWORD);
        assert_ne!(password(&first), password(&second));
        assert_eq!(first.request(), second.request());
    }
}
