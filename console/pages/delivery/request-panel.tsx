// What is sent: headers, signatures and body, printed like a kitchen ticket.
import { useState } from 'preact/hooks';
import type { Delivery } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { CopyButton } from '../../components/copy-button.tsx';
import { Segments } from '../../components/segments.tsx';
import { byteSize } from '../../format/number.ts';
import { query, withQuery } from '../../router.ts';
import { SentHeaders } from './sent-headers.tsx';

export function RequestPanel({ delivery }: { delivery: Delivery }) {
  const body = delivery.body ?? '';
  const exact = query.value.get('body') === 'exact';
  const [size] = useState(() => new TextEncoder().encode(body).length);
  return (
    <section class="receipt" aria-labelledby="request">
      <div class="panel-head">
        <h2 id="request">Request</h2>
        <span class="hint">POST, {byteSize(size)}</span>
      </div>
      <SentHeaders delivery={delivery} size={size} />
      <div class="receipt-rule" />
      <div class="receipt-tools">
        <Segments
          label="Body as"
          items={[
            { href: withQuery({ body: undefined }), label: 'Readable', current: !exact },
            { href: withQuery({ body: 'exact' }), label: 'Exactly as sent', current: exact },
          ]}
        />
        <CopyButton text={body} label="Copy body" />
      </div>
      <pre class={exact ? 'receipt-body exact' : 'receipt-body'} tabIndex={0} aria-label="Body of the request">
        <code>{exact ? body : readable(body)}</code>
      </pre>
    </section>
  );
}

function readable(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
