// Certificates from files, read again when they change, so that a renewed certificate needs no restart.
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import type { Config } from '../config.ts';

type TlsConfig = NonNullable<Config['tls']>;

export function readCertificate(tls: TlsConfig): SecureContextOptions {
  return { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile), minVersion: 'TLSv1.2' };
}

/** For gRPC alone: services can hold certificates of their own, browsers and webhook developers cannot. */
export function readMutualTls(tls: TlsConfig): SecureContextOptions & { requestCert?: boolean; rejectUnauthorized?: boolean } {
  if (tls.clientCaFile === null) return readCertificate(tls);
  return { ...readCertificate(tls), ca: readFileSync(tls.clientCaFile), requestCert: true, rejectUnauthorized: true };
}

/** Calls `reload` when a file has changed, and gives the function that stops watching. A reload that fails keeps what is in use. */
export function watchTls(tls: TlsConfig, pollMs: number, reload: () => void, onError: (error: unknown) => void): () => void {
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
