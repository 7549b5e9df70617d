// TLS on both listeners, from files, with a renewed certificate taken up while running.
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { Agent, fetch } from 'undici';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Health, HealthCheckResponse_ServingStatus as Status } from '../../gen/grpc/health/v1/health_pb.ts';
import { eventually } from '../fixtures/eventually.ts';
import { openListeners } from './listeners.ts';
import type { Listeners } from './listeners.ts';

const certificates = new URL('../delivery/certificates/', import.meta.url);
const ca = await readFile(new URL('ca.pem', certificates));
const key = await readFile(new URL('server.key', certificates));
/** Its own authority, and good for callers as well. */
const callerCert = await readFile(new URL('self-signed.pem', certificates));

let folder: string;
let listeners: Listeners;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tls-'));
  await copyFile(new URL('good.pem', certificates), join(folder, 'tls.crt'));
  await copyFile(new URL('server.key', certificates), join(folder, 'tls.key'));
});
afterEach(async () => {
  await listeners.close();
  await rm(folder, { recursive: true });
});

async function open(clientCaFile: string | null, httpsAsksClients = false): Promise<void> {
  const tls = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key'), clientCaFile, httpsAsksClients };
  listeners = await openListeners({ tls, http: { limits: { certificatePollMs: 50 } } });
}

function health(nodeOptions: object) {
  return createClient(Health, createGrpcTransport({ baseUrl: listeners.grpcUrl, nodeOptions }));
}

async function getLivez(certificate: { key?: Buffer; cert?: Buffer } = {}) {
  const dispatcher = new Agent({ connect: { ca, ...certificate } });
  const response = await fetch(`${listeners.httpUrl}/livez`, { dispatcher });
  await response.text();
  await dispatcher.close();
  return response;
}

test('REST and gRPC are served over TLS', async () => {
  await open(null);
  const response = await getLivez();
  expect([response.status, response.headers.get('strict-transport-security')]).toEqual([200, 'max-age=31536000']);
  expect((await health({ ca }).check({})).status).toBe(Status.SERVING);
});

test('with a client CA gRPC wants a certificate of its callers, and REST does not', async () => {
  await open(fileURLToPath(new URL('self-signed.pem', certificates)));
  expect((await health({ ca, key, cert: callerCert }).check({})).status).toBe(Status.SERVING);
  await expect(health({ ca }).check({})).rejects.toBeInstanceOf(ConnectError);
  expect((await getLivez()).status).toBe(200);
});

test('HTTPS wants a certificate of its callers too when the settings say so', async () => {
  const clientCa = join(folder, 'client-ca.pem');
  await copyFile(new URL('ca.pem', certificates), clientCa);
  await open(clientCa, true);
  for (const refused of [{}, { key, cert: callerCert }]) await expect(getLivez(refused)).rejects.toThrow('fetch failed');
  await copyFile(new URL('self-signed.pem', certificates), clientCa);
  await eventually(async () => (await getLivez({ key, cert: callerCert })).status === 200, { what: 'the other authority' });
  await expect(getLivez()).rejects.toThrow('fetch failed');
});

test('a renewed certificate is taken up without a restart', async () => {
  await open(null);
  const subjectAt = (port: number): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().subject.CN);
        socket.destroy();
      });
      socket.on('error', reject);
    });
  const before = await subjectAt(listeners.httpPort);
  await copyFile(new URL('self-signed.pem', certificates), join(folder, 'tls.crt'));
  for (const port of [listeners.httpPort, listeners.grpcPort]) await eventually(async () => (await subjectAt(port)) !== before);
});

test('a caller whose certificate is from another authority is refused', async () => {
  await open(fileURLToPath(new URL('self-signed.pem', certificates)));
  const strangersCert = await readFile(new URL('good.pem', certificates));
  await expect(health({ ca, key, cert: strangersCert }).check({})).rejects.toBeInstanceOf(ConnectError);
});

test('a client CA that is replaced counts from then on', async () => {
  const clientCa = join(folder, 'client-ca.pem');
  await copyFile(new URL('ca.pem', certificates), clientCa);
  await open(clientCa);
  await expect(health({ ca, key, cert: callerCert }).check({})).rejects.toBeInstanceOf(ConnectError);
  await copyFile(new URL('self-signed.pem', certificates), clientCa);
  await eventually(async () => (await health({ ca, key, cert: callerCert }).check({})).status === Status.SERVING);
});

test('TLS older than 1.2 is refused on both listeners', async () => {
  await open(null);
  for (const port of [listeners.httpPort, listeners.grpcPort]) {
    expect(await protocolAt(port, 'TLSv1.2')).toBe('TLSv1.2');
    expect(await protocolAt(port, 'TLSv1.1')).toMatch(/refused/);
  }
});

test('plain text on a TLS listener is not answered', async () => {
  await open(null);
  for (const port of [listeners.httpPort, listeners.grpcPort]) {
    await expect(fetch(`http://127.0.0.1:${port}/livez`)).rejects.toThrow('fetch failed');
  }
});

test('a renewed certificate that cannot be read leaves the old one in use, and is logged', async () => {
  await open(null);
  await writeFile(join(folder, 'tls.crt'), 'not a certificate');
  await eventually(() => listeners.world.errors.length > 0, { what: 'the complaint' });
  expect((await getLivez()).status).toBe(200);
  expect((await health({ ca }).check({})).status).toBe(Status.SERVING);
});

/** The protocol that was agreed on, or why none was. */
function protocolAt(port: number, version: 'TLSv1.1' | 'TLSv1.2'): Promise<string> {
  return new Promise((resolve) => {
    // Without @SECLEVEL=0 this side would not even offer it.
    const options = { port, host: '127.0.0.1', rejectUnauthorized: false, ciphers: 'DEFAULT:@SECLEVEL=0' };
    const socket = connectTls({ ...options, minVersion: version, maxVersion: version }, () => {
      resolve(socket.getProtocol() ?? '');
      socket.destroy();
    });
    socket.on('error', (error) => resolve(`refused: ${error.message}`));
  });
}
