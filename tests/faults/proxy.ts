// A TCP proxy that breaks connections on request.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** `pass` everything; `reset` the client as soon as the server answers; `silence` the answer; `slice` it into single bytes. */
export type Toxic = 'pass' | 'reset' | 'silence' | 'slice';

export interface Proxy {
  readonly url: string;
  toxic: Toxic;
  /** Answers of the server that a toxic kept from the client. */
  readonly kept: () => number;
  close(): Promise<void>;
}

export async function startProxy(target: URL): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let kept = 0;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on('data', (chunk: Buffer) => {
      if (proxy.toxic === 'pass') client.write(chunk);
      else if (proxy.toxic === 'slice') for (const byte of chunk) client.write(Buffer.of(byte));
      else {
        kept += 1;
        if (proxy.toxic === 'reset') client.resetAndDestroy();
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: Proxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    toxic: 'pass',
    kept: () => kept,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}
