// Certificates from files, read again when they change, so that a renewed certificate needs no restart.
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { SecureContextOptions, Server as TlsServer } from 'node:tls';
import type { Config } from '../config.ts';

/** Mounted secrets are swapped through links, which file events miss: the files are polled instead. */
const POLL_MS = 10_000;

export function readTls(
  tls: NonNullable<Config['tls']>,
): SecureContextOptions & { requestCert: boolean; rejectUnauthorized: boolean } {
  return {
    cert: readFileSync(tls.certFile),
    key: readFileSync(tls.keyFile),
    minVersion: 'TLSv1.2',
    requestCert: tls.clientCaFile !== null,
    rejectUnauthorized: tls.clientCaFile !== null,
    ...(tls.clientCaFile === null ? {} : { ca: readFileSync(tls.clientCaFile) }),
  };
}

/** Gives the function that stops watching. A file that cannot be read keeps the old certificate in use. */
export function reloadTls(
  server: Pick<TlsServer, 'setSecureContext'>,
  tls: NonNullable<Config['tls']>,
  onError: (error: unknown) => void,
  pollMs = POLL_MS,
): () => void {
  const files = [tls.certFile, tls.keyFile];
  const reload = (): void => {
    try {
      server.setSecureContext(readTls(tls));
    } catch (error) {
      onError(error);
    }
  };
  for (const file of files) watchFile(file, { interval: pollMs, persistent: false }, reload);
  return () => {
    for (const file of files) unwatchFile(file, reload);
  };
}
