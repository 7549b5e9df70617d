// Where one attempt went, and the headers of both sides, as far as they were kept.
import type { Attempt, HttpHeader } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';

/** Stands for what the service does not show. */
const MASKED_VALUE = '********';

export function AttemptHeaders({ attempt }: { attempt: Attempt }) {
  if (attempt.requestHeaders.length === 0 && attempt.responseHeaders.length === 0) return null;
  return (
    <details class="attempt-response">
      <summary>Headers</summary>
      <Side title="Sent" headers={attempt.requestHeaders} />
      <Side title="Came back" headers={attempt.responseHeaders} />
    </details>
  );
}

/** As in `to 192.88.99.1 over TLSv1.3`; null where neither is known. */
export function wayOf({ remoteAddress, tlsVersion }: Attempt): string | null {
  const parts = [
    remoteAddress === undefined ? null : `to ${remoteAddress}`,
    tlsVersion === undefined ? null : `over ${tlsVersion}`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? null : parts.join(' ');
}

function Side({ title, headers }: { title: string; headers: readonly HttpHeader[] }) {
  if (headers.length === 0) return null;
  return (
    <>
      <p class="hint">{title}</p>
      <dl class="headers" aria-label={`Headers: ${title}`}>
        {headers.flatMap(({ name, value }, index) => [
          <dt key={`name ${index}`}>{name}</dt>,
          <dd key={`value ${index}`}>{value === MASKED_VALUE ? <span class="absent">not shown</span> : value}</dd>,
        ])}
      </dl>
    </>
  );
}
