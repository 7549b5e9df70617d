// A look at the way to a receiver: its name, and each of its addresses by itself, through the dial that deliveries use.
import { isIP } from 'node:net';
import { TLSSocket, type PeerCertificate } from 'node:tls';
import { dial, type Dialled, type DialTools } from './dial.ts';
import { failureOf, hasRouteTo, type Failure } from './shortage.ts';

export interface TlsReport {
  /** As in `TLSv1.3`. */
  readonly version: string;
  readonly issuer: string;
  /** The names that the certificate is for, as it has them. */
  readonly names: string;
  /** In milliseconds since 1970. */
  readonly endsAtMs: number;
}

export interface DialReport {
  readonly address: string;
  /** Until the connection stood or failed, in milliseconds. */
  readonly connectMs: number;
  /** From there until the end of the TLS handshake; null where none began. */
  readonly handshakeMs: number | null;
  /** Null: it stands. */
  readonly failure: Failure | null;
  /** Null where there is no TLS, or where it failed. */
  readonly tls: TlsReport | null;
}

export interface ProbeReport {
  readonly resolveMs: number;
  /** All that the name stands for; empty unless each of them may be dialled. */
  readonly addresses: readonly string[];
  /** Why nothing was dialled. */
  readonly failure: Failure | null;
  /** One for each address that this machine has a route to. */
  readonly dials: readonly DialReport[];
}

export interface ProbeTools extends Omit<DialTools, 'onBytes' | 'onConnected'> {
  /** Takes a place for one more socket. False: there is none. */
  readonly tryTakePlace: () => boolean;
  readonly givePlace: () => void;
}

/** Never rejects. The report names no address when one of them may not be dialled. */
export async function probe(to: Dialled, tools: ProbeTools): Promise<ProbeReport> {
  const startedAt = performance.now();
  const report = { addresses: [], dials: [] };
  let addresses: readonly string[];
  try {
    addresses = isIP(to.host) === 0 ? await tools.resolver.resolve(to.host) : [to.host];
  } catch (error) {
    return { ...report, resolveMs: since(startedAt), failure: failureOf(error, () => 'dns_error') };
  }
  const resolveMs = since(startedAt);
  if (!addresses.every((address) => tools.policy.allowsAddress(address))) {
    return { ...report, resolveMs, failure: 'ssrf_blocked' };
  }
  const dials = await Promise.all(addresses.filter(hasRouteTo).map((address) => probeAddress(to, address, tools)));
  return { resolveMs, addresses, failure: null, dials };
}

function probeAddress(to: Dialled, address: string, tools: ProbeTools): Promise<DialReport> {
  const startedAt = performance.now();
  let connectMs: number | null = null;
  const report = (failure: Failure | null, tls: TlsReport | null = null): DialReport => ({
    address,
    connectMs: connectMs ?? since(startedAt),
    handshakeMs: connectMs === null || !to.secure ? null : since(startedAt) - connectMs,
    failure,
    tls,
  });
  if (!tools.tryTakePlace()) return Promise.resolve(report({ shortage: 'places' }));
  return new Promise((resolve) => {
    dial(
      to,
      {
        ...tools,
        // The name stays what the certificate is held against; which of its addresses is dialled is decided here.
        resolver: { resolve: () => Promise.resolve([address]) },
        onBytes: () => true,
        onConnected: () => (connectMs = since(startedAt)),
      },
      (failure, socket) => {
        const tls = socket instanceof TLSSocket ? tlsReport(socket) : null;
        socket?.destroy();
        tools.givePlace();
        resolve(report(failure, tls));
      },
    );
  });
}

function tlsReport(socket: TLSSocket): TlsReport {
  const certificate = socket.getPeerCertificate();
  return {
    version: socket.getProtocol() ?? '',
    issuer: nameOf(certificate.issuer),
    names: certificate.subjectaltname ?? nameOf(certificate.subject),
    endsAtMs: Date.parse(certificate.valid_to),
  };
}

function nameOf(name: PeerCertificate['issuer']): string {
  return [name.CN ?? name.O ?? name.OU ?? ''].flat().join(', ');
}

function since(startedAt: number): number {
  return performance.now() - startedAt;
}
