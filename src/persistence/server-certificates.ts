// The authorities to trust for PostgreSQL and Redis, and the certificates to present to them, from PEM files.
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { ConfigError, type CertificateFile, type CertificateFiles } from '../config.ts';

/** Throws a ConfigError that names the variable of a file which cannot be read or holds something else. */
export function readCertificates(files: CertificateFiles | undefined): SecureContextOptions {
  if (files === undefined) return {};
  const { ca, client } = files;
  const authority = ca === null ? {} : { ca: readFile(ca) };
  const own = client === null ? {} : { cert: readFile(client.cert), key: readFile(client.key) };
  if (ca !== null) check(authority, `${ca.variable} holds no certificate`);
  if (client !== null) check(own, `${client.cert.variable} and ${client.key.variable} are not a certificate with its key`);
  return { ...authority, ...own };
}

function readFile({ variable, path }: CertificateFile): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`${variable} cannot be read: ${messageOf(error)}`);
  }
}

function check(options: SecureContextOptions, complaint: string): void {
  // OpenSSL takes a file without any certificate for an empty list of authorities.
  if ('ca' in options && !String(options.ca).includes('-----BEGIN CERTIFICATE-----')) throw new ConfigError(complaint);
  try {
    createSecureContext(options);
  } catch (error) {
    throw new ConfigError(`${complaint}: ${messageOf(error)}`);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
