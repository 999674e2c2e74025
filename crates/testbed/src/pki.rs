//! Certificates and keys for an API server of a test: a CA, and a leaf apart from it (rustls wants no CA as a leaf).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Files of an API server's identity.
pub struct Pki {
    /// PEM of the CA.
    pub ca_pem: String,
    /// The CA.
    pub ca: PathBuf,
    /// The API server's certificate.
    pub certificate: PathBuf,
    /// Its key, which also signs ServiceAccount tokens.
    pub key: PathBuf,
    /// The public half, which verifies them.
    pub public_key: PathBuf,
}

/// Makes them in that folder, for 127.0.0.1.
pub fn make(folder: &Path) -> Result<Pki> {
    let mut ca_params = CertificateParams::new(Vec::new())?;
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    ca_params.distinguished_name.push(rcgen::DnType::CommonName, "testbed-ca");
    let ca_key = KeyPair::generate()?;
    let ca = ca_params.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca_params, ca_key);

    let mut leaf_params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    leaf_params.distinguished_name.push(rcgen::DnType::CommonName, "kube-apiserver");
    let leaf_key = KeyPair::generate()?;
    let leaf = leaf_params.signed_by(&leaf_key, &issuer)?;

    let pki = Pki {
        ca_pem: ca.pem(),
        ca: folder.join("ca.crt"),
        certificate: folder.join("apiserver.crt"),
        key: folder.join("apiserver.key"),
        public_key: folder.join("apiserver.pub"),
    };
    fs::write(&pki.ca, &pki.ca_pem)?;
    fs::write(&pki.certificate, leaf.pem())?;
    fs::write(&pki.key, leaf_key.serialize_pem())?;
    fs::write(&pki.public_key, leaf_key.public_key_pem())?;
    Ok(pki)
}
