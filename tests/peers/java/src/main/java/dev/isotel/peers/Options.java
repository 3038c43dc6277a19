package dev.isotel.peers;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The command line, as `--name value` pairs. */
final class Options {
  private static final Map<String, List<String>> CHOICES =
      Map.of(
          "protocol", List.of("grpc", "http/protobuf"),
          "compression", List.of("none", "gzip"),
          "temporality", List.of("cumulative", "delta"),
          "histogram", List.of("explicit", "exponential"));
  private static final List<String> REQUIRED =
      List.of("protocol", "environment", "service", "instance", "plan");

  private final Map<String, String> values =
      new HashMap<>(
          Map.of(
              "endpoint-grpc", "127.0.0.1:4317",
              "endpoint-http", "http://127.0.0.1:4318",
              "compression", "none",
              "temporality", "cumulative",
              "histogram", "explicit"));

  Options(String[] arguments) {
    for (int i = 0; i < arguments.length; i += 2) {
      String name = arguments[i].startsWith("--") ? arguments[i].substring(2) : "";
      if (!values.containsKey(name) && !REQUIRED.contains(name)) {
        throw new IllegalArgumentException("unknown option " + arguments[i]);
      }
      if (i + 1 == arguments.length) {
        throw new IllegalArgumentException("--" + name + " wants a value");
      }
      values.put(name, arguments[i + 1]);
    }
    for (String name : REQUIRED) {
      if (!values.containsKey(name)) {
        throw new IllegalArgumentException("--" + name + " is required");
      }
    }
    CHOICES.forEach(
        (name, allowed) -> {
          if (!allowed.contains(values.get(name))) {
            throw new IllegalArgumentException("--" + name + " must be one of " + allowed);
          }
        });
  }

  String get(String name) {
    return values.get(name);
  }

  boolean is(String name, String value) {
    return values.get(name).equals(value);
  }
}
