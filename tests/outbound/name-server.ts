// A name server of our own, that lies, contradicts itself or stays silent as a test asks.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv4 } from 'node:net';

export type Answer =
  | { readonly addresses: readonly string[] }
  /** An alias, with the addresses of what it stands for. */
  | { readonly alias: string; readonly addresses: readonly string[] }
  | { readonly failure: 'NXDOMAIN' | 'SERVFAIL' | 'REFUSED' }
  | 'silence';

export interface NameServer {
  /** As `Resolver.setServers` takes it. */
  readonly server: string;
  readonly questions: string[];
  close(): void;
}

const FAILURES = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 };
const TYPE_A = 1;
const TYPE_CNAME = 5;
const TYPE_AAAA = 28;

/**
 * `answer` gets the name and how often that name and type were asked for before. Addresses of the other family are left out. Types
 * for which `isSilent` holds are never answered.
 */
export async function nameServer(
  answer: (name: string, before: number) => Answer,
  host = '127.0.0.1',
  port = 0,
  isSilent: (type: number) => boolean = () => false,
): Promise<NameServer> {
  const socket = createSocket('udp4');
  const questions: string[] = [];
  socket.on('message', (message, sender) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
      labels.push(message.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const type = message.readUInt16BE(at + 1);
    const name = labels.join('.').toLowerCase();
    const key = `${name} ${type}`;
    const given = answer(name, questions.filter((question) => question === key).length);
    questions.push(key);
    if (given === 'silence' || isSilent(type)) return;
    const records: Buffer[] = [];
    let owner = name;
    if ('alias' in given) {
      records.push(record(owner, TYPE_CNAME, encodeName(given.alias)));
      owner = given.alias;
    }
    for (const address of 'addresses' in given ? given.addresses : []) {
      const v4 = isIPv4(address);
      if ((v4 ? TYPE_A : TYPE_AAAA) === type)
        records.push(record(owner, type, v4 ? Buffer.from(address.split('.').map(Number)) : v6Bytes(address)));
    }
    const head = Buffer.alloc(12);
    message.copy(head, 0, 0, 2);
    head.writeUInt16BE(0x8180 | ('failure' in given ? FAILURES[given.failure] : 0), 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(records.length, 6);
    socket.send(Buffer.concat([head, message.subarray(12, at + 5), ...records]), sender.port, sender.address);
  });
  socket.bind(port, host);
  await once(socket, 'listening');
  return { server: `${host}:${socket.address().port}`, questions, close: () => socket.close() };
}

function record(owner: string, type: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(owner), fixed, data]);
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.from([0])]);
}

function v6Bytes(address: string): Buffer {
  const [head = '', tail = ''] = address.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  const missing = 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: address.includes('::') ? missing : 0 }, () => '0'), ...groups(tail)];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
