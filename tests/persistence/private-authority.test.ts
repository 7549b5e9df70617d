// PostgreSQL and Redis with certificates of a private authority, which ask for one of ours: made by openssl, served by the real programs.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { CertificateFile, CertificateFiles, DatabaseConfig, RedisConfig } from '../../src/config.ts';
import { createOrm } from '../../src/persistence/orm.ts';
import { createPool } from '../../src/persistence/pool.ts';
import { embeddedPrograms, initialise, ownerOf, serverCommand } from '../../src/embedded/postgres-programs.ts';
import { prepareDatabase } from '../../src/persistence/prepare-database.ts';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { eventually } from '../fixtures/eventually.ts';
import { installedPrograms } from '../fixtures/global-setup.ts';
import { startGuarded } from '../fixtures/guarded.ts';
import { freePort } from '../fixtures/ports.ts';
import { redisAt } from '../fixtures/redis.ts';

const PASSWORD = 'of-the-test';
const directory = mkdtempSync(join(tmpdir(), 'private-authority-'));
const at = (name: string): string => join(directory, name);
const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
const file = (variable: string, name: string): CertificateFile => ({ variable, path: at(name) });
const ca = file('THE_CA', 'ca.pem');
const client = { cert: file('THE_CERTIFICATE', 'client.pem'), key: file('THE_KEY', 'client.key') };
const stops: (() => Promise<unknown>)[] = [];
let database: DatabaseConfig;
let redis: RedisConfig;

beforeAll(async () => {
  for (const authority of ['ca', 'other-ca']) createAuthority(authority);
  issue('server', 'subjectAltName=DNS:localhost');
  issue('client', 'extendedKeyUsage=clientAuth');
  const certificates: CertificateFiles = { ca, client };
  database = { ...(await startPostgres()), certificates };
  redis = { ...(await startRedisWithTls()), certificates };
  await prepareDatabase(database);
}, 60_000);
afterAll(async () => {
  for (const stop of stops.toReversed()) await stop();
  rmSync(directory, { recursive: true });
});

function createAuthority(name: string): void {
  const subject = `/CN=${name}`;
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    subject,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.pem`,
  );
}

function issue(name: string, extension: string): void {
  writeFileSync(at(`${name}.ext`), extension);
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
  const authority = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
  openssl('x509', '-req', '-in', `${name}.csr`, ...authority, '-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.pem`);
}

async function startPostgres(): Promise<DatabaseConfig> {
  const programs = installedPrograms() ?? (await embeddedPrograms());
  const home = mkdtempSync(join(tmpdir(), 'private-postgres-'));
  const data = join(home, 'data');
  const owner = ownerOf(data);
  const give = (path: string): void => {
    if (owner !== null) chownSync(path, owner.uid, owner.gid);
  };
  const passwordFile = join(home, 'password');
  writeFileSync(passwordFile, PASSWORD);
  for (const path of [home, passwordFile]) give(path);
  await initialise(programs, data, owner, passwordFile);
  for (const name of ['server.pem', 'server.key', 'ca.pem']) {
    copyFileSync(at(name), join(data, name));
    chmodSync(join(data, name), 0o600);
    give(join(data, name));
  }
  writeFileSync(join(data, 'pg_hba.conf'), 'hostssl all all all scram-sha-256 clientcert=verify-ca\n');
  const port = await freePort();
  const tls = { ssl: 'on', ssl_cert_file: 'server.pem', ssl_key_file: 'server.key', ssl_ca_file: 'ca.pem' };
  const command = serverCommand(programs, data, owner, port, { fsync: 'off', ...tls });
  const server = await startGuarded(command, { signal: 'INT', directory: home });
  stops.push(() => server.stop());
  const config: DatabaseConfig = {
    host: 'localhost',
    port,
    user: 'postgres',
    password: PASSWORD,
    name: 'webhooks',
    ssl: 'verify-full',
  };
  const certificates = { ca, client };
  await eventually(() => query({ ...config, name: 'postgres', certificates }).then(() => true), { what: 'PostgreSQL' });
  return config;
}

async function startRedisWithTls(): Promise<RedisConfig> {
  const { program, missing } = inject('redis');
  if (program === null) throw new Error(missing);
  const port = await freePort();
  mkdirSync(at('redis'));
  const files = ['--tls-cert-file', at('server.pem'), '--tls-key-file', at('server.key'), '--tls-ca-cert-file', at('ca.pem')];
  const args = ['--port', '0', '--tls-port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', at('redis'), ...files];
  const server = await startGuarded({ file: program, args }, { signal: 'TERM' });
  stops.push(() => server.stop());
  const config: RedisConfig = { ...redisAt('localhost', port), tls: true };
  await eventually(async () => (await ping({ ...config, certificates: { ca, client } })).isUp, { what: 'Redis' });
  return config;
}

async function query(config: DatabaseConfig): Promise<unknown> {
  const pool = createPool(config, () => undefined);
  try {
    return (await pool.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')).rows;
  } finally {
    await pool.end();
  }
}

async function ping(config: RedisConfig): Promise<{ isUp: boolean; warnings: string[] }> {
  const warnings: string[] = [];
  const connection = new RedisConnection(config, (sentence) => warnings.push(sentence));
  try {
    await connection.connect();
    return { isUp: (await connection.commands.ping()) === 'PONG', warnings };
  } catch {
    return { isUp: false, warnings };
  } finally {
    connection.close();
  }
}

test('PostgreSQL of a private authority is reached by the pools, the migration and MikroORM, with our certificate', async () => {
  expect(await query(database)).toEqual([{ ssl: true }]);
  const orm = await createOrm(database, () => undefined);
  try {
    expect(await orm.em.getConnection().execute('select count(*)::int as deliveries from deliveries')).toEqual([
      { deliveries: 0 },
    ]);
  } finally {
    await orm.close();
  }
});

test.each<[string, Partial<DatabaseConfig>, RegExp]>([
  ['of an authority that is not named', { certificates: { ca: null, client } }, /unable to verify|self-signed certificate/],
  [
    'of another authority',
    { certificates: { ca: file('THE_CA', 'other-ca.pem'), client } },
    /unable to verify|self-signed certificate/,
  ],
  ['under another name than its certificate has', { host: '127.0.0.1' }, /IP: 127\.0\.0\.1 is not in the cert/],
  [
    'that asks for a certificate, when none is shown',
    { certificates: { ca, client: null } },
    /requires a valid client certificate/,
  ],
])('PostgreSQL %s is refused in one sentence', async (_, change, reason) => {
  const told = await prepareDatabase({ ...database, ...change }).catch((error: unknown) => error);
  expect(told).toMatchObject({ name: 'ConfigError', message: expect.stringMatching(reason) });
});

test('Redis of a private authority is reached with our certificate', async () => {
  expect(await ping(redis)).toEqual({ isUp: true, warnings: [] });
});

test.each<[string, Partial<RedisConfig>]>([
  ['of an authority that is not named', { certificates: { ca: null, client } }],
  ['of another authority', { certificates: { ca: file('THE_CA', 'other-ca.pem'), client } }],
  ['under another name than its certificate has', { host: '127.0.0.1' }],
  ['that asks for a certificate, when none is shown', { certificates: { ca, client: null } }],
])('Redis %s is not used, and one line says why', async (_, change) => {
  const { isUp, warnings } = await ping({ ...redis, ...change });
  expect(isUp).toBe(false);
  expect(warnings[0]).toMatch(/^Redis cannot be reached: /);
});

test('servers whose certificate is refused again and again do not end the process, whatever their sockets report later', async () => {
  const uncaught: unknown[] = [];
  const kept = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException').on('uncaughtException', (error) => uncaught.push(error));
  const refused = { ...redis, certificates: { ca: file('THE_CA', 'other-ca.pem'), client } };
  try {
    // The alert of the server comes to a socket that is closed by then in one case of some ten.
    for (let round = 0; round < 50; round += 1) await Promise.all([ping(refused), ping(refused)]);
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const listener of kept) process.on('uncaughtException', listener);
  }
  expect(uncaught).toEqual([]);
});

test.each<[string, CertificateFiles, RegExp]>([
  ['is missing', { ca: file('THE_CA', 'nowhere.pem'), client: null }, /^THE_CA cannot be read: ENOENT/],
  ['holds no certificate', { ca: file('THE_CA', 'ca.key'), client: null }, /^THE_CA holds no certificate/],
  [
    'is the key of another certificate',
    { ca, client: { ...client, key: file('THE_KEY', 'ca.key') } },
    /^THE_CERTIFICATE and THE_KEY are not/,
  ],
])('a file that %s is named by its variable', async (_, certificates, sentence) => {
  const told = await prepareDatabase({ ...database, certificates }).catch((error: unknown) => error);
  expect(told).toMatchObject({ name: 'ConfigError', message: expect.stringMatching(sentence) });
  expect(() => new RedisConnection({ ...redis, certificates }, () => undefined)).toThrow(sentence);
});
