in_image() {
  timeout 60 "$container" --quiet exec --contain "${@:2}" "$image" sh -c "$1"
}
can_mount() { # name, squashfs
  base64 -d <<<"$2" >"$scratch/$1" && truncate -s 4096 "$scratch/$1" &&
    in_image 'read -r line </hpcrun-probe && [ "$line" = ok ]' --overlay "$scratch/$1:ro" >/dev/null 2>&1 </dev/null
}
# One attempt, of headers or no more than a connection, once in thirty days for a whole cluster.
reaches_internet() {
  if type curl >/dev/null 2>&1; then curl -sI -m 5 -o /dev/null https://github.com/; else timeout 5 bash -c '</dev/tcp/github.com/443'; fi >/dev/null 2>&1 </dev/null
}
probe() {
  # Where packets are dropped, this waits; meanwhile the rest is found out.
  reaches_internet &
  local internet=$!
  if can_mount overlays 'aHNxcwIAAAAAAAAAAAACAAEAAAABABEAwAIBAAQAAAAgAAAAAAAAAAABAAAAAAAA+AAAAAAAAAD//////////4AAAAAAAAAAogAAAAAAAADSAAAAAAAA
AOoAAAAAAAAAeNrtwSEBAAAIAzBPjcdD0N8R42bb7QQAAACoe38AI+MgAHjaY2JYwsgABXAGFCzmB4m9hQszIdHKQMwMxABfSQJ0HgB42mNggABGKM3E
wM2QUZBcVJqnW1CUn5QKACCoBOQOAHjaS2CAAAUoDQAHEACBwgAAAAAAAAAOAHjaY2CAAAUoDQABEAAh2gAAAAAAAAAEgAAAAADyAAAAAAAAAA=='; then echo overlays yes; else echo overlays no; fi
  if can_mount zstd 'aHNxcwIAAAAAAAAAAAACAAEAAAAGABEAwAIBAAQAAAAgAAAAAAAAAAkBAAAAAAAAAQEAAAAAAAD//////////3UAAAAAAAAApQAAAAAAAADZAAAAAAAA
APMAAAAAAAAAKLUv/WCjDl0AACBvawojAQCc9wERLgAotS/9IEAtAQDIAgCkAQABAKMPAAABAO0BAAIjAAAAAwAAAAQArxEgO0BiF2gBIIAAAAAAAAAA
AAEAAAAAAAAAAgALAGhwY3J1bi1wcm9iZRCAYAAAAAAAAAAVAAAAAAAAAMcAAAAAAAAAEIAAAAAAAAAAACAAAAAAAAAA4QAAAAAAAAAEgAAAAAD7AAAA
AAAAAA=='; then echo zstd yes; else echo zstd no; fi
  echo "container $("$container" --version 2>/dev/null | head -n 1)"
  echo "kernel $(uname -r)"
  echo "driver $(grep -oEm1 '[0-9]+[.][0-9]+([.][0-9]+)?' /proc/driver/nvidia/version 2>/dev/null | head -n 1)"
  if wait "$internet"; then echo internet yes; else echo internet no; fi
}
