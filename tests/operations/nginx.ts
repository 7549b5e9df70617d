// nginx in front of several processes of the service, as a load balancer would stand there.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { eventually } from '../fixtures/eventually.ts';
import { freePort } from '../fixtures/ports.ts';

/** The program, or null where there is none. */
export function findNginx(): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin'];
  return folders.map((folder) => join(folder, 'nginx')).find((file) => existsSync(file)) ?? null;
}

export interface LoadBalancer {
  readonly http: string;
  readonly grpc: string;
  close(): Promise<void>;
}

export async function startNginx(
  program: string,
  backends: { http: readonly number[]; grpc: readonly number[] },
): Promise<LoadBalancer> {
  const directory = await mkdtemp(join(tmpdir(), 'webhook-nginx-'));
  const [httpPort, grpcPort] = [await freePort(), await freePort()];
  // Never taken out: a process that is away refuses at once, and the next one is tried. One that was taken out would be missed when the
  // other goes away a moment after it came back.
  const servers = (ports: readonly number[]): string => ports.map((port) => `server 127.0.0.1:${port} max_fails=0;`).join(' ');
  await writeFile(
    join(directory, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${directory}/pid; error_log ${directory}/error.log warn;
     events { worker_connections 512; }
     http {
       access_log off;
       client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy; fastcgi_temp_path ${directory}/fastcgi;
       uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;
       upstream http_backends { ${servers(backends.http)} keepalive 8; }
       upstream grpc_backends { ${servers(backends.grpc)} keepalive 8; }
       server {
         listen 127.0.0.1:${httpPort};
         location / {
           proxy_pass http://http_backends; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
           # A publish may be tried at the next process because it carries an idempotency key.
           proxy_next_upstream error timeout http_503 non_idempotent; proxy_connect_timeout 1s;
         }
       }
       server {
         listen 127.0.0.1:${grpcPort} http2;
         location / {
           grpc_pass grpc://grpc_backends;
           grpc_next_upstream error timeout http_503 non_idempotent; grpc_connect_timeout 1s;
         }
       }
     }`,
  );
  const child = spawn(program, ['-c', join(directory, 'nginx.conf'), '-p', directory], { stdio: ['ignore', 'ignore', 'pipe'] });
  const said: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  const killOnExit = (): void => void child.kill('SIGKILL');
  process.once('exit', killOnExit);
  await eventually(() => canConnect(httpPort), { what: 'nginx', giveUp: () => child.exitCode !== null }).catch(
    (cause: unknown) => {
      throw new Error(said.join(''), { cause });
    },
  );
  return {
    http: `http://127.0.0.1:${httpPort}`,
    grpc: `127.0.0.1:${grpcPort}`,
    async close() {
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
      process.off('exit', killOnExit);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
