(* Spaces with an inner product; what nearest points need of them. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
Open Scope R_scope.

Record inner_space := Inner {
  element :> Type;
  sub : element -> element -> element;
  between : R -> element -> element -> element;
  dot : element -> element -> R;
  dot_sym : forall a b, dot a b = dot b a;
  dot_sub_r : forall a b c, dot a (sub b c) = dot a b - dot a c;
  dot_between_r : forall s a b c, dot a (between s b c) = (1 - s) * dot a b + s * dot a c;
  dot_pos : forall a, 0 <= dot a a;
  combination : R -> element -> element -> element;  (* a - s b *)
  dot_combination_r : forall s a b c, dot c (combination s a b) = dot c a - s * dot c b
}.
Arguments sub {i}.
Arguments between {i}.
Arguments dot {i}.
Arguments combination {i}.
Arguments dot_sub_r {i}.
Arguments dot_between_r {i}.
Arguments dot_combination_r {i}.

Definition length {V : inner_space} (a : V) : R := sqrt (dot a a).

Section Inner.
  Context {V : inner_space}.
  Implicit Types a b c : V.

  Lemma dot_sub_l a b c : dot (sub b c) a = dot b a - dot c a.
  Proof. rewrite (dot_sym V), dot_sub_r, (dot_sym V a b), (dot_sym V a c). reflexivity. Qed.

  Lemma dot_between_l s a b c : dot (between s b c) a = (1 - s) * dot b a + s * dot c a.
  Proof. rewrite (dot_sym V), dot_between_r, (dot_sym V a b), (dot_sym V a c). reflexivity. Qed.

  Lemma length_nonneg a : 0 <= length a.
  Proof. apply sqrt_pos. Qed.

  Lemma length_square a : length a * length a = dot a a.
  Proof. apply sqrt_sqrt, dot_pos. Qed.

  Lemma length_le_dot a b : length a <= length b -> dot a a <= dot b b.
  Proof. intros H. apply sqrt_le_0; [apply dot_pos | apply dot_pos | exact H]. Qed.

  Lemma cauchy_schwarz a b : dot a b <= length a * length b.
  Proof.
    assert (quadratic : forall s, 0 <= dot a a - 2 * s * dot a b + s * s * dot b b).
    { intros s. pose proof (dot_pos V (combination s a b)) as H.
      rewrite dot_combination_r, !(dot_sym V (combination s a b)), !dot_combination_r in H.
      rewrite (dot_sym V b a) in H. lra. }
    assert (square : dot a b * dot a b <= dot a a * dot b b).
    { pose proof (dot_pos V b). pose proof (dot_pos V a).
      destruct (Req_dec (dot b b) 0) as [Hb|Hb].
      - destruct (Req_dec (dot a b) 0) as [Hab|Hab]; [nra|].
        specialize (quadratic ((dot a a + 1) / (2 * dot a b))). rewrite Hb in quadratic.
        replace (2 * ((dot a a + 1) / (2 * dot a b)) * dot a b) with (dot a a + 1) in quadratic
          by (field; exact Hab). lra.
      - specialize (quadratic (dot a b / dot b b)).
        replace (dot a a - 2 * (dot a b / dot b b) * dot a b
                 + dot a b / dot b b * (dot a b / dot b b) * dot b b)
          with ((dot a a * dot b b - dot a b * dot a b) / dot b b) in quadratic by (field;
            exact Hb).
        apply (Rmult_le_compat_r (dot b b)) in quadratic; [|assumption].
        unfold Rdiv in quadratic. rewrite Rmult_assoc, Rinv_l in quadratic by exact Hb. lra. }
    unfold length. rewrite <- sqrt_mult by apply dot_pos.
    eapply Rle_trans; [apply Rle_abs|]. rewrite <- sqrt_Rsqr_abs. now apply sqrt_le_1_alt.
  Qed.
End Inner.

(* the real line is one *)
Definition line_inner : inner_space.
Proof.
  refine (Inner R Rminus (fun s a b => (1 - s) * a + s * b) Rmult _ _ _ _ (fun s a b => a - s * b)
    _);
    intros; try ring.
  apply Rle_0_sqr.
Defined.

Lemma length_line (a : line_inner) : length a = Rabs a.
Proof. unfold length. cbn. apply sqrt_Rsqr_abs. Qed.
