// Keyset paging: onwards by token, back through the browser's own history, and to the beginning.
import { query, withQuery } from '../router.ts';

export function Pager({ nextToken }: { nextToken: string }) {
  const deep = query.value.has('page_token');
  if (!deep && nextToken === '') return null;
  return (
    <nav class="pager" aria-label="Pages">
      {deep && (
        <>
          <a class="button" href={withQuery({ page_token: undefined })}>
            Newest
          </a>
          <button type="button" class="button" onClick={() => history.back()}>
            Back
          </button>
        </>
      )}
      {nextToken !== '' && (
        <a class="button" href={withQuery({ page_token: nextToken })} rel="next">
          Older
        </a>
      )}
    </nav>
  );
}
