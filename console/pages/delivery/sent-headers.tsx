// The headers of one attempt. Signatures are not stored, so they are worked out here, from the secret, if the reader pastes it.
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { useEffect, useId, useState } from 'preact/hooks';
import type { Delivery } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { signatureHeader } from '../../environment.ts';
import { canSign, plainSignature, secretBytes, standardSignature } from '../../signing.ts';

export function SentHeaders({ delivery, size }: { delivery: Delivery; size: number }) {
  const attempts = delivery.attempts;
  // Null follows the latest one as attempts are made.
  const [number, setNumber] = useState<number | null>(null);
  const [secret, setSecret] = useState('');
  const id = useId();
  const attempt = attempts.find((each) => each.number === number) ?? attempts.at(-1);
  const timestamp = attempt?.startedAt === undefined ? '' : String(Math.floor(timestampMs(attempt.startedAt) / 1000));
  const signatures = useSignatures(secret, delivery, timestamp);
  const unknown = (
    <span class="absent">{signatures === 'not-a-secret' ? 'a secret is whsec_ and base64' : 'needs the secret'}</span>
  );
  const known = typeof signatures === 'object' ? signatures : undefined;
  return (
    <>
      {attempts.length > 1 && (
        <label class="filter">
          <span>Attempt</span>
          <select value={String(attempt?.number ?? '')} onChange={(event) => setNumber(Number(event.currentTarget.value))}>
            {attempts.map((each) => (
              <option key={each.number} value={String(each.number)}>
                {each.number}
              </option>
            ))}
          </select>
        </label>
      )}
      <dl class="headers">
        <Header name="content-type" value="application/json" />
        <Header name="content-length" value={String(size)} />
        <Header name="webhook-id" value={delivery.id} />
        <Header name="webhook-timestamp" value={timestamp === '' ? <span class="absent">not sent yet</span> : timestamp} />
        <Header name="webhook-signature" value={known?.standard ?? unknown} />
        <Header name={signatureHeader} value={known?.plain ?? unknown} />
        <Header name="X-HomeChef-Event" value={delivery.eventType} />
        <Header name="X-HomeChef-Delivery" value={delivery.id} />
        <Header name="X-HomeChef-Attempt" value={String(attempt?.number ?? 1)} />
      </dl>
      {canSign() && (
        <details class="receipt-secret">
          <summary>Work out the signatures</summary>
          <label for={id}>Signing secret</label>
          <input
            id={id}
            class="mono"
            type="password"
            autocomplete="off"
            placeholder="whsec_…"
            value={secret}
            onInput={(event) => setSecret(event.currentTarget.value.trim())}
          />
          <p class="hint">It stays on this page. An attempt made before a rotation was signed with the secret of its time.</p>
        </details>
      )}
    </>
  );
}

function Header({ name, value }: { name: string; value: preact.ComponentChildren }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}

type Signatures = { readonly standard: string; readonly plain: string } | 'no-secret' | 'not-a-secret';

function useSignatures(secret: string, delivery: Delivery, timestamp: string): Signatures {
  const [signatures, setSignatures] = useState<Signatures>('no-secret');
  useEffect(() => {
    let current = true;
    const key = secretBytes(secret);
    if (key === null || timestamp === '') {
      setSignatures(secret === '' ? 'no-secret' : 'not-a-secret');
      return;
    }
    const body = delivery.body ?? '';
    const sign = async () => {
      const [standard, plain] = [
        await standardSignature(key, delivery.id, timestamp, body),
        await plainSignature(secret, body),
      ];
      if (current) setSignatures({ standard, plain });
    };
    void sign();
    return () => {
      current = false;
    };
  }, [secret, delivery, timestamp]);
  return signatures;
}
