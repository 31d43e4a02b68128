//! What a listener shows its clients, and asks of them.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => Err(format!("{what}: expected a certificate in PEM, found none")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("{what}: expected certificates in PEM: {error}")),
    }
}

/// All in PEM; an empty `client_ca` asks clients for nothing. Errors begin with the part of the configuration.
pub fn acceptor(chain: &[u8], key: &[u8], client_ca: &[u8]) -> Result<TlsAcceptor, String> {
    let chain = certificates(chain, "certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("key: expected a private key in PEM: {error}"))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if client_ca.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(client_ca, "client_ca")? {
            roots.add(certificate).map_err(|error| format!("client_ca: {error}"))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| format!("client_ca: {error}"))?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| format!("certificate and key: {error}"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
