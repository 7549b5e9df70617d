// A listener whose queue of connections is full: what is sent to it gets no answer at all, until it listens again.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

/** Longer than a connection over loopback takes, in milliseconds. */
const UNANSWERED_MS = 200;

// A thread of its own, which stands still: Node would accept whatever comes.
const THREAD = `
const { parentPort, workerData } = require('node:worker_threads');
const answer = 'HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok';
const server = require('node:net').createServer((socket) => socket.on('data', () => socket.write(answer)).on('error', () => {}));
server.listen({ host: workerData.host, port: workerData.port, backlog: 1 }, () => {
  parentPort.postMessage(server.address().port);
  Atomics.wait(workerData.isListening, 0, 0);
});`;

export interface DeafListener {
  readonly port: number;
  /** It answers from now on, also what is sent once more. */
  listen(): void;
  close(): Promise<void>;
}

export async function deafListener(host: string, port = 0): Promise<DeafListener> {
  const isListening = new Int32Array(new SharedArrayBuffer(4));
  const thread = new Worker(THREAD, { eval: true, workerData: { host, port, isListening } });
  const [listening] = (await once(thread, 'message')) as [number];
  const filling: Socket[] = [];
  while (await connects(host, listening, filling));
  const listen = (): void => {
    Atomics.store(isListening, 0, 1);
    Atomics.notify(isListening, 0);
  };
  return {
    port: listening,
    listen,
    async close() {
      listen();
      for (const socket of filling) socket.destroy();
      await thread.terminate();
    },
  };
}

function connects(host: string, port: number, filling: Socket[]): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.on('error', () => {});
    const timer = setTimeout(() => {
      socket.destroy();
      resolve(false);
    }, UNANSWERED_MS);
    socket.once('connect', () => {
      clearTimeout(timer);
      filling.push(socket);
      resolve(true);
    });
  });
}
