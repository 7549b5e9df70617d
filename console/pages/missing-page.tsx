// An address that leads nowhere.
import { PageHead } from '../components/page-head.tsx';
import { Empty } from '../components/states.tsx';
import { address } from '../router.ts';

export function MissingPage() {
  return (
    <>
      <PageHead title="Nothing here" />
      <Empty title="This address leads nowhere">
        <p>
          <code class="wrap">{address.value.path}</code>
        </p>
        <a class="button primary" href="/">
          Go to the overview
        </a>
        <a href="/docs" data-reload>
          The API’s reference
        </a>
      </Empty>
    </>
  );
}
