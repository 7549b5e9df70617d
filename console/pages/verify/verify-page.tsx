// For the author of a receiver: working code that checks signatures, and a place to try a request that does not check out.
import { PageHead } from '../../components/page-head.tsx';
import { signatureHeader } from '../../environment.ts';
import { query, withQuery } from '../../router.ts';
import { CodeBlock } from '../../components/code-block.tsx';
import { Segments } from '../../components/segments.tsx';
import { CheckForm } from './check-form.tsx';
import { samples } from './samples.ts';

export function VerifyPage() {
  const chosen = samples.find((sample) => sample.key === query.value.get('language')) ?? samples[0];
  return (
    <>
      <PageHead title="Verify" lead="Check that a request comes from HomeChef, and is what was sent." />
      <section class="panel" aria-labelledby="how">
        <div class="panel-head">
          <h2 id="how">How requests are signed</h2>
        </div>
        <div class="prose">
          <p>
            Every request follows{' '}
            <a href="https://www.standardwebhooks.com" rel="noreferrer external" target="_blank">
              Standard Webhooks
            </a>
            , so its published libraries check it as it is. While a secret is being rotated, <code>webhook-signature</code>{' '}
            holds one signature for each.
          </p>
          <dl class="facts">
            <dt class="mono">webhook-id</dt>
            <dd>The delivery. The same on every attempt, so it tells repeats apart.</dd>
            <dt class="mono">webhook-timestamp</dt>
            <dd>When this attempt was sent, in seconds. Refuse what is five minutes off.</dd>
            <dt class="mono">webhook-signature</dt>
            <dd>
              <code>v1,</code> and the base64 of HMAC-SHA256 over <code>id.timestamp.body</code>, keyed with the decoded secret.
            </dd>
            <dt class="mono">{signatureHeader}</dt>
            <dd>
              <code>sha256=</code> and the hex of HMAC-SHA256 over the body alone, keyed with the secret as it is shown. For
              receivers that want no library; it does not protect against replays.
            </dd>
          </dl>
        </div>
      </section>
      <section class="panel" aria-labelledby="code">
        <div class="panel-head">
          <h2 id="code">Code that works</h2>
          <Segments
            label="Language"
            items={samples.map((sample) => ({
              href: withQuery({ language: sample.key }),
              label: sample.label,
              current: sample === chosen,
            }))}
          />
        </div>
        {chosen !== undefined && (
          <>
            <CodeBlock label="Install" text={chosen.install} />
            <CodeBlock label={chosen.file} text={chosen.code} />
          </>
        )}
        <p class="hint">Verify the body as it arrived, before any parsing: the signature is over its bytes.</p>
      </section>
      <CheckForm />
    </>
  );
}
