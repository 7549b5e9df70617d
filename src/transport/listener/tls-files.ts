// Certificates from files, read again when they change, so that a renewed certificate needs no restart.
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { ConfigError, type ListenerTls } from '../../config.ts';

type ListenerOptions = SecureContextOptions & { requestCert?: boolean; rejectUnauthorized?: boolean };

/** Throws a ConfigError for files that cannot be read, or are no certificate with its key. */
export function readGrpcTls(tls: ListenerTls): ListenerOptions {
  return tls.clientCaFile === null ? readCertificate(tls) : askClients(tls, tls.clientCaFile);
}

/** As readGrpcTls(). Services can hold certificates of their own, browsers and webhook developers cannot: they are asked only on request. */
export function readHttpsTls(tls: ListenerTls): ListenerOptions {
  return tls.httpsAsksClients ? readGrpcTls(tls) : readCertificate(tls);
}

function askClients(tls: ListenerTls, clientCaFile: string): ListenerOptions {
  const ca = readFile('TLS_CLIENT_CA_FILE', clientCaFile);
  return {
    ...checked('TLS_CLIENT_CA_FILE holds no certificate', { ...readCertificate(tls), ca }),
    requestCert: true,
    rejectUnauthorized: true,
  };
}

function readCertificate(tls: ListenerTls): SecureContextOptions {
  const cert = readFile('TLS_CERT_FILE', tls.certFile);
  const key = readFile('TLS_KEY_FILE', tls.keyFile);
  return checked('TLS_CERT_FILE and TLS_KEY_FILE are not a certificate with its key', { cert, key, minVersion: 'TLSv1.2' });
}

function readFile(variable: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new ConfigError(`${variable} cannot be read: ${messageOf(error)}`);
  }
}

function checked(complaint: string, options: SecureContextOptions): SecureContextOptions {
  try {
    createSecureContext(options);
    return options;
  } catch (error) {
    throw new ConfigError(`${complaint}: ${messageOf(error)}`);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Calls `reload` when a file has changed, and gives the function that stops watching. A reload that fails keeps what is in use. */
export function watchTls(tls: ListenerTls, pollMs: number, reload: () => void, onError: (error: unknown) => void): () => void {
  const files = [tls.certFile, tls.keyFile, ...(tls.clientCaFile === null ? [] : [tls.clientCaFile])];
  const onChange = (): void => {
    try {
      reload();
    } catch (error) {
      onError(error);
    }
  };
  // Mounted secrets are swapped through links, which file events miss: the files are polled instead.
  for (const file of files) watchFile(file, { interval: pollMs, persistent: false }, onChange);
  return () => {
    for (const file of files) unwatchFile(file, onChange);
  };
}
