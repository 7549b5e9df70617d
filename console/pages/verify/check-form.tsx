// Paste a request that does not check out, and see why.
import { useId, useState } from 'preact/hooks';
import { StatusGlyph } from '../../components/status-mark.tsx';
import { signatureHeader } from '../../environment.ts';
import { lookOf } from '../../format/status.ts';
import { DeliveryStatus } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { canSign } from '../../signing.ts';
import { checkRequest, type Finding, type Pasted } from './check.ts';

const GLYPHS = { good: DeliveryStatus.DELIVERED, bad: DeliveryStatus.FAILED, note: DeliveryStatus.PENDING } as const;

export function CheckForm() {
  const [pasted, setPasted] = useState<Pasted>({ secret: '', headers: '', body: '' });
  const [findings, setFindings] = useState<readonly Finding[]>([]);
  const id = useId();
  const change = (changes: Partial<Pasted>) => {
    setPasted({ ...pasted, ...changes });
    setFindings([]);
  };
  const submit = (event: Event) => {
    event.preventDefault();
    void checkRequest(pasted, signatureHeader, Date.now()).then(setFindings);
  };
  return (
    <section class="panel" aria-labelledby="check">
      <div class="panel-head">
        <h2 id="check">Check a request</h2>
        <span class="hint">Worked out in this browser; nothing is sent anywhere.</span>
      </div>
      {canSign() ? (
        <form class="check-form" onSubmit={submit}>
          <div>
            <label for={`${id}-secret`}>Signing secret</label>
            <input
              id={`${id}-secret`}
              class="mono"
              type="password"
              autocomplete="off"
              placeholder="whsec_…"
              required
              value={pasted.secret}
              onInput={(event) => change({ secret: event.currentTarget.value })}
            />
          </div>
          <div>
            <label for={`${id}-headers`}>Headers</label>
            <textarea
              id={`${id}-headers`}
              class="mono"
              rows={5}
              spellcheck={false}
              required
              placeholder={`webhook-id: delivery_…\nwebhook-timestamp: 1700000000\nwebhook-signature: v1,…\n${signatureHeader}: sha256=…`}
              value={pasted.headers}
              onInput={(event) => change({ headers: event.currentTarget.value })}
            />
          </div>
          <div>
            <label for={`${id}-body`}>Body, exactly as it arrived</label>
            <textarea
              id={`${id}-body`}
              class="mono"
              rows={6}
              spellcheck={false}
              required
              placeholder='{"event":"order.created","data":{…}}'
              value={pasted.body}
              onInput={(event) => change({ body: event.currentTarget.value })}
            />
          </div>
          <button class="button primary" type="submit">
            Check
          </button>
          <div role="status">
            <ul class="findings">
              {findings.map((finding) => (
                <li key={finding.text} class={finding.verdict}>
                  <StatusGlyph look={lookOf(GLYPHS[finding.verdict])} />
                  {finding.text}
                </li>
              ))}
            </ul>
          </div>
        </form>
      ) : (
        <p class="quiet-note">
          Browsers offer cryptography only over https and on localhost. Open this page there to check a request.
        </p>
      )}
    </section>
  );
}
