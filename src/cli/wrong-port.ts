// What listens at the port that was given, but speaks another protocol: gRPC, PostgreSQL, Redis.

/** What to give instead, in a line. */
export const WRONG_PORT =
  '--url: what listens there does not speak HTTP/1.1; give SERVER_PORT (8080 by default), not the port of gRPC or PostgreSQL';

/** By its marks, so that the library which made the error need not be loaded. Node's HTTP parser names itself so. */
export function isWrongPort(error: unknown): boolean {
  return isOfCall(error) && error.message.includes('Parse Error');
}

/** Such a server hangs up on what it takes for noise, maybe before its own greeting was read. So does a service that stops. */
export function isHangUp(error: unknown): boolean {
  return isOfCall(error) && /EPIPE|ECONNRESET|socket hang up/.test(error.message);
}

function isOfCall(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ConnectError';
}
