//! Whom workers trust: a CA of the operator's own, kept in its one Secret, and the certificate of this process, made anew
//! at each start and signed by that CA.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{Timestamp, ToSpan, tz::TimeZone};
use kube::Api;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The Secret, in the operator's namespace. It outlives the operator's restarts, for running workers have its certificate.
pub const SECRET: &str = "artillery-operator-collector-ca";
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
/// How long a CA is good for, in years.
const YEARS: i64 = 10;

/// A CA, as PEM.
pub struct Authority {
    /// Its certificate.
    pub certificate: String,
    key: String,
}

impl Authority {
    /// The CA of the operator in `namespace`: the stored one, or a new one that is stored.
    ///
    /// # Errors
    /// The API server cannot be asked, or what is stored is no CA.
    pub async fn of(client: &kube::Client, namespace: &str) -> Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let stored = || async {
            secrets.get_opt(SECRET).await.with_context(|| format!("cannot read Secret {namespace}/{SECRET}"))
        };
        if let Some(secret) = stored().await? {
            return Self::read(&secret).with_context(|| {
                format!("Secret {namespace}/{SECRET} has no CA: delete it, and a new one is made")
            });
        }
        let made = Self::new(Timestamp::now())?;
        match secrets.create(&PostParams::default(), &made.secret()).await {
            Ok(_) => {
                tracing::info!("made a CA for the collector: Secret {namespace}/{SECRET}");
                Ok(made)
            }
            // another manager was quicker
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                Self::read(&stored().await?.context("it is gone again")?)
            }
            Err(error) => Err(error).with_context(|| format!("cannot create Secret {namespace}/{SECRET}")),
        }
    }

    fn new(now: Timestamp) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = params();
        let date = |at: Timestamp| {
            let date = at.to_zoned(TimeZone::UTC).date();
            let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
            rcgen::date_time_ymd(date.year().into(), month, day)
        };
        params.not_before = date(now - 24.hours()); // clocks differ
        params.not_after = date(now + (YEARS * 365 * 24).hours());
        Ok(Self { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }

    fn read(secret: &Secret) -> Result<Self> {
        let value = |key: &str| {
            let value =
                secret.data.as_ref().and_then(|data| data.get(key)).with_context(|| format!("no {key}"))?;
            String::from_utf8(value.0.clone()).with_context(|| format!("{key} is no PEM"))
        };
        let authority = Self { certificate: value(CERTIFICATE)?, key: value(KEY)? };
        authority.issuer()?;
        Ok(authority)
    }

    fn secret(&self) -> Secret {
        let data = [(CERTIFICATE, &self.certificate), (KEY, &self.key)];
        Secret {
            metadata: ObjectMeta { name: Some(SECRET.to_owned()), ..ObjectMeta::default() },
            data: Some(data.map(|(key, pem)| (key.to_owned(), ByteString(pem.clone().into_bytes()))).into()),
            ..Secret::default()
        }
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>> {
        let key = KeyPair::from_pem(&self.key).with_context(|| format!("{KEY} is no private key"))?;
        Ok(Issuer::new(params(), key))
    }

    /// What a server of those names (DNS names or addresses) shows.
    ///
    /// # Errors
    /// One of them cannot be in a certificate.
    pub fn server(&self, names: Vec<String>) -> Result<Arc<ServerConfig>> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.clone())
            .with_context(|| format!("{names:?} cannot be in a certificate"))?;
        params.distinguished_name.push(DnType::CommonName, "artillery-operator collector");
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer()?)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .context("cannot use the certificate")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // a worker that comes back needs no whole handshake
        config.ticketer = Ticketer::new().context("cannot make a key for session tickets")?;
        Ok(Arc::new(config))
    }
}

/// The CA's own name and rights: the same for each key, so that a certificate need not be read to sign by it.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "artillery-operator collector CA");
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_the_same_authority_again() {
        let made = Authority::new(Timestamp::now()).expect("a CA");
        let read = Authority::read(&made.secret()).expect("a CA");
        assert_eq!((&read.certificate, &read.key), (&made.certificate, &made.key));
    }

    #[test]
    fn a_secret_that_is_none_is_refused_by_the_name_of_what_is_wrong() {
        let mut secret = Authority::new(Timestamp::now()).expect("a CA").secret();
        let data = secret.data.as_mut().expect("data");
        data.insert(KEY.into(), ByteString(b"no key".to_vec()));
        let error = Authority::read(&secret).err().expect("an error");
        assert!(error.to_string().contains("ca.key is no private key"), "{error:#}");
        secret.data = None;
        assert!(Authority::read(&secret).is_err());
    }
}
