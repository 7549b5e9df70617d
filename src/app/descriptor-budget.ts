// How the descriptors of this process are divided: a share for callers, one for receivers, one for its stores and files.
import { readFileSync } from 'node:fs';
import { ConfigError } from '../config.ts';

/**
 * What is not divided: PostgreSQL and Redis take up to 30, runtime and listeners about 25. The rest is for what comes and goes: name servers,
 * files of the console, the scraper, notices, keys of tokens.
 */
const OWN_DESCRIPTORS = 96;
/** With fewer a process would refuse its own probes and publishers. */
const MIN_LIMIT = 192;
/** Receivers get this part of what is divided: a process that cannot send is of no use. */
const OUTBOUND_SHARE = 1 / 2;
/** The HTTP listener gets this part of what callers get, the gRPC listener the rest: its connections carry many calls each. */
const HTTP_SHARE = 7 / 8;

/** Sockets that each part asks for; more is never given to it. */
export interface DescriptorShares {
  /** To receivers: in use, idle, and raced. */
  readonly outbound: number;
  /** Connections of callers to the HTTP listener. */
  readonly http: number;
  /** Connections of callers to the gRPC listener. */
  readonly grpc: number;
}

export interface DescriptorBudget extends DescriptorShares {
  /** Of the system, for the whole process; Infinity where it names none. */
  readonly limit: number;
  /** Whether a part gets less than it asked for. */
  readonly isReduced: boolean;
}

/**
 * Divides the limit. A part that asks for less than its share leaves the rest to the others. Throws a ConfigError for a limit that
 * no useful process fits into.
 */
export function divideDescriptors(limit: number, wanted: DescriptorShares): DescriptorBudget {
  if (limit < MIN_LIMIT) {
    throw new ConfigError(`this process may open ${limit} files and sockets; it needs at least ${MIN_LIMIT} (ulimit -n)`);
  }
  const divided = limit - OWN_DESCRIPTORS;
  const inbound = wanted.http + wanted.grpc;
  const [outbound, forCallers] = share(divided, OUTBOUND_SHARE, wanted.outbound, inbound);
  const [http, grpc] = share(forCallers, HTTP_SHARE, wanted.http, wanted.grpc);
  return { limit, outbound, http, grpc, isReduced: outbound + http + grpc < wanted.outbound + inbound };
}

/**
 * The soft limit of open files, which Node raises to the hard one as it starts. Infinity where the system names none: Windows has no such
 * limit, and a Unix may be set to unlimited.
 */
export function readDescriptorLimit(): number {
  // Node's own report takes a stack, for which it parses our source maps: a twentieth of a start.
  const soft = Number(process.platform === 'linux' ? ofLinux() : reported());
  return Number.isFinite(soft) ? soft : Number.POSITIVE_INFINITY;
}

function ofLinux(): string | undefined {
  return /^Max open files +(\w+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
}

function reported(): unknown {
  // Its network part would look up names of open connections. Node's types do not know the switch.
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  const { excludeNetwork } = report;
  report.excludeNetwork = true;
  const { userLimits } = report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } };
  report.excludeNetwork = excludeNetwork;
  return userLimits?.open_files?.soft;
}

/** What each of two gets: its share, or more where the other wants less. */
function share(total: number, part: number, first: number, second: number): [number, number] {
  const firstShare = Math.floor(total * part);
  const gotFirst = Math.min(first, Math.max(firstShare, total - second));
  return [gotFirst, Math.min(second, total - gotFirst)];
}
