// What stands in for content: on its way, not there, or refused.
import type { ComponentChildren } from 'preact';
import type { Failure } from '../api/failure.ts';
import type { Resource } from '../api/resource.ts';

/** Grey lines where content will be; announced once. */
export function Loading({ lines = 4 }: { lines?: number }) {
  return (
    <div class="loading" role="status">
      <span class="visually-hidden">Loading…</span>
      {Array.from({ length: lines }, (_, index) => (
        <span key={index} class="loading-line" />
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <svg viewBox="0 0 48 48" width="48" height="48" aria-hidden="true">
        <path d="M9 4h30v38l-3.75-3-3.75 3-3.75-3-3.75 3-3.75-3-3.75 3-3.75-3L9 42z" />
        <path d="M16 14h16M16 21h16M16 28h9" />
      </svg>
      <p class="empty-title">{title}</p>
      {children !== undefined && <div class="empty-body">{children}</div>}
    </div>
  );
}

export function Problem({ failure, onRetry }: { failure: Failure; onRetry?: (() => void) | undefined }) {
  return (
    <div class="problem" role="alert">
      <p class="problem-title">{failure.title}</p>
      <p>{failure.message}</p>
      {failure.requestId !== '' && (
        <p class="problem-request">
          Request <code>{failure.requestId}</code>
        </p>
      )}
      {onRetry !== undefined && (
        <button type="button" class="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Loading at first, then the content. A later error stands above it: what was read, and typed into it, stays. */
export function Loaded<T>({
  from,
  lines,
  children,
}: {
  from: Resource<T>;
  lines?: number;
  children: (data: T) => ComponentChildren;
}) {
  const problem = from.failure !== undefined && (
    <Problem failure={from.failure} onRetry={from.failure.temporary ? from.reload : undefined} />
  );
  if (from.data === undefined) return problem || <Loading {...(lines === undefined ? {} : { lines })} />;
  return (
    <div class={from.loading ? 'loaded refreshing' : 'loaded'}>
      {problem}
      {children(from.data)}
    </div>
  );
}
